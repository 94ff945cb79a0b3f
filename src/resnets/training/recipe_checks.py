"""Settings of a recipe that exclude one another: those of fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnets.core.errors import UsageError
from resnets.training.optimizer_settings import Muon

if TYPE_CHECKING:
    from resnets.training.recipe import Recipe


def check_fine_tuning(recipe: Recipe) -> None:
    """Raises UsageError where `fine_tuning` does not fit the other settings of `recipe`."""
    settings = recipe.fine_tuning
    settings.check(recipe.model)
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
