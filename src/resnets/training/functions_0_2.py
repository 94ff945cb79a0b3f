"""A function of version 0.2, now a method of the recipe; to be deleted with `core.old_modules`."""

from __future__ import annotations

from resnets.training.recipe import Recipe


def evaluation_steps(recipe: Recipe, samples: int) -> set[int]:
    """See `Recipe.evaluation_steps`."""
    return recipe.evaluation_steps(samples)
