"""The recipe that is taken where none is named."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from resnets.core.errors import UsageError
from resnets.recipes.catalog import DEFAULTS, RECIPES, default_for


def splits(modality: str, task: str, format: str = "folders") -> Any:
    return SimpleNamespace(train=SimpleNamespace(modality=modality, task=task), format=format)


def test_folders_have_a_recipe_by_their_modality_and_task() -> None:
    assert default_for(splits("image", "classification"), "x") == "digits"
    assert default_for(splits("image", "segmentation", "masks"), "x") == "segmentation/small"
    assert default_for(splits("audio", "classification"), "x") == "audio/logmel"


def test_each_default_is_a_recipe_for_that_data() -> None:
    for (modality, task), name in DEFAULTS.items():
        recipe = RECIPES[name]()
        assert (recipe.preprocessing.modality, recipe.task.name) == (modality, task)


@pytest.mark.parametrize(
    ("format", "task"), [("csv", "classification"), ("jsonl", "multi-label"), ("csv", "regression")]
)
def test_of_tables_the_recipe_is_to_be_named(format: str, task: str) -> None:
    with pytest.raises(
        UsageError, match=rf"t\.csv has image data for {task} \(format {format}\).*Name one.*--data t\.csv"
    ):
        default_for(splits("image", task, format), "t.csv")


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_the_recipe_of_the_example_is_for_that_data(modality: str) -> None:
    with pytest.raises(UsageError) as refused:
        default_for(splits(modality, "multi-label", "csv"), "t.csv")
    name = str(refused.value).partition("resnets train ")[2].split()[0]
    assert RECIPES[name]().preprocessing.modality == modality
