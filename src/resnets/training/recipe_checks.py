"""Settings of a recipe that exclude one another, or do not fit the data: those of fine-tuning and of soups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnets.core.errors import UsageError
from resnets.training.optimizer_settings import Muon

if TYPE_CHECKING:
    from resnets.modalities.base import SplitName
    from resnets.training.recipe import Recipe

MOST_INGREDIENTS = 100  # of a soup: each is a file as large as the model


def check_fine_tuning(recipe: Recipe) -> None:
    """Raises UsageError where `fine_tuning` does not fit the other settings of `recipe`, or `soup` is out of range."""
    settings = recipe.fine_tuning
    settings.check(recipe.model)
    if not 0 <= recipe.soup <= MOST_INGREDIENTS:
        raise UsageError(f"soup must be from 0 to {MOST_INGREDIENTS}, not {recipe.soup}.")
    if settings.layer_decay != 1 and isinstance(recipe.optimizer, Muon):
        raise UsageError("fine_tuning.layer_decay is for SGD, AdamW and LAMB: Muon has rates of its own.")
    if settings.unfreeze and recipe.cuda_graph:
        raise UsageError(
            "A CUDA graph computes the same at every step, and fine_tuning.unfreeze changes what learns: give one."
        )
    if settings.head == "probe" and not recipe.task.single_label:
        raise UsageError(
            f"fine_tuning.head=probe fits the classes of samples that have one each, and this is {recipe.task.name}: "
            "give fine_tuning.head=drawn."
        )
    if recipe.precise_bn and (settings.freeze or settings.freeze_statistics):
        raise UsageError(
            "precise_bn computes batch norm's statistics anew, and fine_tuning keeps them: give precise_bn=0, or "
            "neither fine_tuning.freeze nor fine_tuning.freeze_statistics."
        )


def check_soup(recipe: Recipe, watched: SplitName) -> None:
    """Raises UsageError where `soup` cannot choose weights.

    Args:
        watched: the split that is evaluated while training.
    """
    if recipe.soup and watched != "val":
        raise UsageError(
            f"soup chooses weights on val, and the data has none, only {watched}, which would then say too much of "
            "them. Hold a share of the training samples out as val (--val-share 0.2), or give soup=0."
        )
