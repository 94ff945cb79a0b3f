"""The recipe that is taken where none is named."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from resnets.core.errors import UsageError
from resnets.recipes.catalog import DEFAULTS, RECIPES, default_for, suits_digits
from resnets.recipes.facts import DataFacts


def splits(modality: str, task: str, format: str = "folders") -> Any:
    return SimpleNamespace(train=SimpleNamespace(modality=modality, task=task), format=format)


def test_folders_have_a_recipe_by_their_modality_and_task() -> None:
    assert default_for(splits("image", "classification"), "x") == "photos"
    assert default_for(splits("image", "segmentation", "masks"), "x") == "segmentation/small"
    assert default_for(splits("audio", "classification"), "x") == "audio/logmel"


@pytest.mark.parametrize("task", ["classification", "multi-label", "regression"])
@pytest.mark.parametrize("format", ["folders", "csv", "jsonl", "webdataset", ""])
def test_images_with_any_label_are_photographs_in_every_format(format: str, task: str) -> None:
    assert default_for(splits("image", task, format), "x") == "photos"


def test_each_default_is_a_recipe_for_that_data() -> None:
    for (modality, task), name in DEFAULTS.items():
        recipe = RECIPES[name]()
        assert (recipe.preprocessing.modality, recipe.task.name) == (modality, task)


def test_of_tables_of_sounds_the_recipe_is_to_be_named() -> None:
    message = r"t\.csv has audio data for multi-label \(format csv\).*Name one.*--data t\.csv"
    with pytest.raises(UsageError, match=message) as refused:
        default_for(splits("audio", "multi-label", "csv"), "t.csv")
    name = str(refused.value).partition("resnets train ")[2].split()[0]
    assert RECIPES[name]().preprocessing.modality == "audio"


@pytest.mark.parametrize(
    ("side", "grey", "suits"), [(8, True, True), (16, True, True), (28, True, False), (8, False, False)]
)
def test_only_images_as_small_and_grey_as_digits_suit_the_recipe_digits(side: int, grey: bool, suits: bool) -> None:
    facts = DataFacts(samples=100, classes=10, height=side, width=side, grey=grey)
    assert suits_digits(facts) is suits
