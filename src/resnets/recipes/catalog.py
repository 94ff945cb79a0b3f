"""The recipes by name."""

from __future__ import annotations

from collections.abc import Callable

from resnets.core.errors import lookup
from resnets.recipes import fast, paper, successors
from resnets.recipes.digits import digits
from resnets.training.recipe import Recipe

RECIPES: dict[str, Callable[[], Recipe]] = {
    "digits": digits,
    "fast/cifar10": fast.cifar10,
    "fast/cifar10-96": fast.cifar10_96,
    "fast/imagenet": fast.imagenet,
    "paper/cifar": paper.cifar,
    "paper/cifar110": paper.cifar110,
    "paper/imagenet": paper.imagenet,
    "preactivation": successors.preactivation,
    "stochastic-depth": successors.stochastic_depth,
    "wide": successors.wide,
}


def find(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    return lookup(RECIPES, name, "recipe")()
