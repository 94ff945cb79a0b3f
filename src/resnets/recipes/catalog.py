"""The recipes by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from resnets.core.errors import UsageError, lookup
from resnets.recipes import (
    audio,
    detection,
    fast,
    localization,
    paper,
    photos,
    segmentation,
    successors,
    timm,
    torchvision,
)
from resnets.recipes.digits import digits
from resnets.tasks.catalog import AnyTask
from resnets.tasks.catalog import find as find_task
from resnets.training.recipe import Recipe

if TYPE_CHECKING:
    from resnets.modalities.base import DatasetSplits
    from resnets.recipes.facts import DataFacts

RECIPES: dict[str, Callable[[], Recipe]] = {
    "audio/logmel": audio.log_mel,
    "detection/fasterrcnn-c4": detection.fasterrcnn_c4,
    "detection/fasterrcnn-fpn": detection.fasterrcnn_fpn,
    "detection/maskrcnn": detection.maskrcnn,
    "detection/retinanet": detection.retinanet,
    "detection/small": detection.small,
    "digits": digits,
    "fast/cifar10": fast.cifar10,
    "fast/cifar10-96": fast.cifar10_96,
    "fast/imagenet": fast.imagenet,
    "finetune": photos.finetune,
    "localization/small": localization.small,
    "paper/cifar": paper.cifar,
    "paper/cifar110": paper.cifar110,
    "paper/imagenet": paper.imagenet,
    "photos": photos.photos,
    "preactivation": successors.preactivation,
    "segmentation/deeplabv3": segmentation.deeplabv3,
    "segmentation/fcn": segmentation.fcn,
    "segmentation/fpn": segmentation.fpn,
    "segmentation/small": segmentation.small,
    "stochastic-depth": successors.stochastic_depth,
    "timm/a1": timm.a1,
    "timm/a2": timm.a2,
    "timm/a3": timm.a3,
    "timm/ra4": timm.ra4,
    "torchvision/v2": torchvision.v2,
    "wide": successors.wide,
}

# By modality and task of data in folders, what trains on it where no recipe is named and there are no weights.
DEFAULTS: dict[tuple[str, str], str] = {
    ("image", "classification"): "photos",
    ("image", "detection"): "detection/small",
    ("image", "localization"): "localization/small",
    ("image", "segmentation"): "segmentation/small",
    ("audio", "classification"): "audio/logmel",
}
_OF_PHOTOGRAPHS = ("classification", "multi-label", "regression")  # tasks that `photos` and `finetune` are for
_EXAMPLES = {"image": "photos", "audio": "audio/logmel"}  # of recipes for data in lists, by modality
_DIGITS = 16  # pixels of a side: grey images as small suit the recipe digits
LISTS = ("csv", "jsonl")  # formats whose data may be for any task: which recipe suits it cannot be seen


def find(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    return lookup(RECIPES, name, "recipe")()


def is_for_photographs(splits: DatasetSplits) -> bool:
    """Whether `photos` and `finetune` can train on `splits`: images with a label, labels or a number each."""
    return splits.train.modality == "image" and splits.train.task in _OF_PHOTOGRAPHS


def suits_digits(facts: DataFacts) -> bool:
    """Whether images are as small and grey as those that the recipe `digits` is for."""
    return facts.grey and max(facts.height, facts.width) <= _DIGITS


def default_for(splits: DatasetSplits, data: str, asked: AnyTask | None = None) -> str:
    """The name of the recipe that trains on `splits` from scratch where none is named.

    Args:
        data: what `--data` names, for messages.
        asked: the task that was asked for, which the data may be for beside its own.

    Raises:
        UsageError: there is none; the message says how to name one.
    """
    if is_for_photographs(splits):
        return "photos"
    task = splits.train.task if asked is None or asked.reads != splits.train.task else asked.name
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
