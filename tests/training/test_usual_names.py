"""The names of other libraries lead to settings that there are."""

from __future__ import annotations

from dataclasses import fields

import pytest

from resnets.core import config
from resnets.core.errors import UsageError
from resnets.recipes import catalog
from resnets.training.recipe import Recipe


@pytest.mark.parametrize(("name", "settings"), Recipe.USUAL_NAMES.items(), ids=Recipe.USUAL_NAMES)
def test_each_leads_to_settings_of_a_recipe(name: str, settings: tuple[str, ...]) -> None:
    recipe = catalog.find("digits")
    assert name not in {field.name for field in fields(Recipe)}
    meant = " ".join(f"{setting}=7" for setting in settings)
    with pytest.raises(UsageError, match=f"did you mean {meant}\\?"):
        config.override(recipe, [f"{name}=7"])
