"""The recipes by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from resnets.core.errors import UsageError, lookup
from resnets.recipes import audio, fast, paper, segmentation, successors, timm, torchvision
from resnets.recipes.digits import digits
from resnets.tasks.catalog import find as find_task
from resnets.training.recipe import Recipe

if TYPE_CHECKING:
    from resnets.modalities.base import DatasetSplits

RECIPES: dict[str, Callable[[], Recipe]] = {
    "audio/logmel": audio.log_mel,
    "digits": digits,
    "fast/cifar10": fast.cifar10,
    "fast/cifar10-96": fast.cifar10_96,
    "fast/imagenet": fast.imagenet,
    "paper/cifar": paper.cifar,
    "paper/cifar110": paper.cifar110,
    "paper/imagenet": paper.imagenet,
    "preactivation": successors.preactivation,
    "segmentation/fcn": segmentation.fcn,
    "segmentation/small": segmentation.small,
    "stochastic-depth": successors.stochastic_depth,
    "timm/a1": timm.a1,
    "timm/a2": timm.a2,
    "timm/a3": timm.a3,
    "torchvision/v2": torchvision.v2,
    "wide": successors.wide,
}

# By modality and task of data in folders, what trains on it where no recipe is named.
DEFAULTS: dict[tuple[str, str], str] = {
    ("image", "classification"): "digits",
    ("image", "segmentation"): "segmentation/small",
    ("audio", "classification"): "audio/logmel",
}
_EXAMPLES = {"image": "paper/cifar", "audio": "audio/logmel"}  # of recipes for data in lists, by modality
LISTS = ("csv", "jsonl")  # formats whose data may be for any task: which recipe suits it cannot be seen


def find(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    return lookup(RECIPES, name, "recipe")()


def default_for(splits: DatasetSplits, data: str) -> str:
    """The name of the recipe that trains on `splits` where none is named.

    Args:
        data: what `--data` names, for messages.

    Raises:
        UsageError: there is none; the message says how to name one.
    """
    task = splits.train.task
    name = DEFAULTS.get((splits.train.modality, task))
    if name is None or splits.format in LISTS:
        example = _EXAMPLES.get(splits.train.modality, "RECIPE")
        setting = f" task={type(find_task(task)).__name__}"
        raise UsageError(
            f"{data} has {splits.train.modality} data for {task}"
            f"{f' (format {splits.format})' if splits.format else ''}, for which no recipe is chosen by itself. Name "
            f"one of `resnets recipes`, such as: resnets train {example} --data {data}{setting}"
        )
    return name
