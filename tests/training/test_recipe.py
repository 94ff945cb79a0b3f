"""Recipes: frozen, complete, checked, and changed by typed overrides."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from resnets.core.config import decode, encode
from resnets.core.errors import UsageError
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms import Augmentations, Cutout, PaddedCrop
from resnets.recipes.catalog import RECIPES, find
from resnets.training.recipe import SGD, AdamW, Recipe
from resnets.training.schedules import Cosine, Warmup


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_documented_named_and_survives_json(name: str) -> None:
    recipe = find(name)
    assert recipe.name == name
    assert "Command: resnets train" in (RECIPES[name].__doc__ or "")
    assert decode(Recipe, json.loads(json.dumps(encode(recipe)))) == recipe


def test_the_cifar_recipe_is_the_papers() -> None:
    recipe = find("paper/cifar")
    assert (recipe.batch, recipe.steps, recipe.total_steps(50_000)) == (128, 64_000, 64_000)
    assert recipe.optimizer == SGD(lr=0.1, momentum=0.9, weight_decay=1e-4)
    assert recipe.normalize == "mean image"


def test_overrides_reach_every_depth_and_type() -> None:
    recipe = find("paper/cifar").with_overrides(
        ["optimizer.lr=3e-3", "model.drop_path=0.2", "schedule=cosine", "schedule.final=0.1", "ema=0.99",
         "augmentations.mix=[{\"kind\": \"Mixup\"}]", "warmup=Warmup", "warmup.epochs=1.14", "epochs=2", "ema=none"]
    )  # fmt: skip
    assert recipe.optimizer.lr == 3e-3
    assert recipe.model.drop_path == 0.2
    assert recipe.schedule == Cosine(final=0.1)
    assert recipe.warmup == Warmup(epochs=1.14)
    assert (recipe.epochs, recipe.steps, recipe.ema) == (2, None, None)
    assert isinstance(recipe.augmentations, Augmentations)
    assert len(recipe.augmentations.mix) == 1
    assert recipe.with_overrides(["optimizer=AdamW"]).optimizer == AdamW()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lrr=1", "did you mean lr"),
        ("bacth=3", "did you mean batch"),
        ("batch=many", "batch takes a whole number, not 'many'"),
        ("batch=1", "batch norm needs two"),
        ("optimizer.lr=-1", "above 0"),
        ("bn_batch=3", "divide batch"),
        ("schedule=triangle", "schedule takes Constant or Step"),
        ("warmup.epochs=3", "set warmup=Warmup first"),
        ("batch", "NAME=VALUE"),
        ("precision=fp8", "'bf16'"),
        ("seed=-1", "from 0 to"),
        ("epochs=0", "above 0"),
        ("tta=multi-scale", "give normalize=channels"),
    ],
)
def test_a_wrong_override_is_answered_with_what_would_be_right(override: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find("paper/cifar").with_overrides([override])


def test_no_image_reflects_more_than_it_has() -> None:
    with pytest.raises(UsageError, match="cannot reflect images of"):
        replace(find("fast/cifar10"), augmentations=Augmentations(transforms=(PaddedCrop(padding=32, fill="reflect"),)))


def test_no_image_is_smaller_than_the_model_takes() -> None:
    with pytest.raises(UsageError, match="An input of 8 px is too small for this model; the minimum is 9 px"):
        replace(find("fast/cifar10"), preprocessing=Preprocessing(resize=8, crop=8))


def test_no_square_hides_a_whole_image() -> None:
    with pytest.raises(UsageError, match="can cover images of 8 px"):
        replace(find("digits"), augmentations=Augmentations(transforms=(Cutout(),)))


def test_an_epoch_is_complete_when_its_last_sample_was_seen() -> None:
    recipe = find("digits").with_overrides(["batch=64", "epochs=3", "evaluate_every=1"])
    assert recipe.total_steps(1437) == 68  # 3 * 1437 / 64 = 67.4
    assert recipe.evaluation_steps(1437) == {23, 45, 68}
    assert recipe.with_overrides(["evaluate_every=2"]).evaluation_steps(1437) == {45, 68}
    assert recipe.with_overrides(["evaluate_every=100"]).evaluation_steps(1437) == {68}
    assert recipe.with_overrides(["steps=50"]).evaluation_steps(1437) == {23, 45, 50}
