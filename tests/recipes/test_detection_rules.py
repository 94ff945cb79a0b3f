"""What detectors begin with: weights, of which the first parts stay as they are, or none."""

from __future__ import annotations

from dataclasses import replace

import pytest

import resnets
from resnets.artifacts.weights_facts import WeightsFacts
from resnets.core.errors import UsageError
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.models.catalog import find as find_model
from resnets.recipes.catalog import find
from resnets.recipes.facts import DataFacts
from resnets.recipes.rules import fitted

CELLS = DataFacts(samples=205, classes=3, height=480, width=640, task="detection")
WEIGHTS = WeightsFacts("w.pth", "resnet18", find_model("resnet18"), Preprocessing(), (), ())
WITH_PYRAMID = ("detection/small", "detection/fasterrcnn-fpn", "detection/maskrcnn", "detection/retinanet")


@pytest.mark.parametrize("name", WITH_PYRAMID)
def test_with_weights_the_stem_and_the_first_stage_stay_as_they_are(name: str) -> None:
    """As in detectron2 (FREEZE_AT of 2) and torchvision (three trainable layers)."""
    recipe, _ = fitted(find(name), CELLS, WEIGHTS)
    assert (recipe.fine_tuning.freeze, recipe.model.norm) == (2, "frozen")


@pytest.mark.parametrize("name", [*WITH_PYRAMID, "detection/fasterrcnn-c4"])
def test_without_weights_all_learns_and_no_norm_is_frozen(name: str) -> None:
    recipe, reasons = fitted(find(name), CELLS, None)
    assert (recipe.fine_tuning.freeze, recipe.model.norm) == (0, "group")
    assert "no weights" in dict(reasons)["model"]


def test_the_canvas_has_the_proportions_of_the_images() -> None:
    recipe, _ = fitted(find("detection/small"), CELLS, WEIGHTS)
    assert recipe.preprocessing.shape() == (320, 448)


@pytest.mark.parametrize("samples", [10, 205, 500_000])
def test_the_default_suits_few_images_and_many(samples: int) -> None:
    recipe = find("detection/small")
    recipe.check_length(samples)
    assert recipe.total_steps(samples) == 1500


def test_where_some_images_are_upright_and_others_not_the_canvas_is_square() -> None:
    """Else those of the other way would be trained on smaller than they are tested."""
    recipe, reasons = fitted(find("detection/small"), replace(CELLS, turned=True), WEIGHTS)
    assert recipe.largest_shape == (448, 448)
    assert "the canvas is square" in dict(reasons)["size"]


def test_frozen_layers_without_weights_are_refused() -> None:
    """As in a recipe from Python, which no rule fits."""
    with pytest.raises(UsageError, match=r"would stay as they are drawn.*model\.norm=group fine_tuning\.freeze=0"):
        resnets.train(find("detection/small"), data="nowhere")
