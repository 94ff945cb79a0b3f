"""`resnets recipes`."""

from __future__ import annotations

import inspect

from resnets.commands.command import Answer, Command, Invocation
from resnets.recipes.catalog import RECIPES
from resnets.training.recipe import Recipe


def list_recipes() -> dict[str, Recipe]:
    """List the recipes that are known by name."""
    return {name: make() for name, make in RECIPES.items()}


def _answer(invocation: Invocation) -> Answer:
    from resnets.core.config import encode

    docs = {name: inspect.getdoc(make) or "" for name, make in RECIPES.items()}
    lines = [line for name, text in docs.items() for line in (name, *(f"  {t}" for t in text.splitlines()), "")]
    rows = [
        # The keys of version 0.2 stand beside those of today for one version.
        {"name": name, "recipe": encode(recipe, original=True) | encode(recipe), "about": docs[name]}
        for name, recipe in invocation.call().items()
    ]
    return Answer(lines[:-1], {"recipes": rows})


COMMAND = Command(list_recipes, _answer)
