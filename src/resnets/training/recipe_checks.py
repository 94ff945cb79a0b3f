"""Settings of a recipe that exclude one another, or do not fit the data: lengths, fine-tuning, soups and teachers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnets.core.errors import UsageError
from resnets.training.optimizer_settings import Muon

if TYPE_CHECKING:
    from resnets.modalities.base import SplitName
    from resnets.training.recipe import Recipe

MAX_EPOCHS = 10**6
MAX_STEPS = 10**9
MAX_MINUTES = 10**6  # two years
MOST_INGREDIENTS = 100  # of a soup: each is a file as large as the model


def check_lengths(recipe: Recipe) -> None:
    """Raises UsageError where `epochs`, `steps` and `minutes` are out of range, or give no length or two."""
    lengths = [recipe.epochs, recipe.steps].count(None)
    if lengths == 0 or (lengths == 2 and recipe.minutes is None):
        raise UsageError(f"Give epochs or steps, not both or neither (epochs {recipe.epochs}, steps {recipe.steps}).")
    if recipe.minutes is not None and not 0 < recipe.minutes <= MAX_MINUTES:
        raise UsageError(f"minutes must be above 0 and at most {MAX_MINUTES:,}, not {recipe.minutes:g}.")
    if recipe.epochs is not None and not 0 < recipe.epochs < MAX_EPOCHS:
        raise UsageError(f"epochs must be above 0 and below {MAX_EPOCHS:,}, not {recipe.epochs:g}.")
    if recipe.steps is not None and not 1 <= recipe.steps <= MAX_STEPS:
        raise UsageError(f"steps must be from 1 to {MAX_STEPS:,}, not {recipe.steps:,}.")


def check_fine_tuning(recipe: Recipe) -> None:
    """Raises UsageError where `fine_tuning` does not fit the other settings of `recipe`, nor `soup` and `teacher`."""
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
    if recipe.teacher is not None and not recipe.task.single_label:
        raise UsageError(
            f"A teacher is for samples that have one class each, and this is {recipe.task.name}: give teacher=none."
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
