"""What of a recipe comes from the weights that it starts from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resnets.artifacts.weights_facts import WeightsFacts
from resnets.modalities.image.preprocessing import Preprocessing, encode_mean_image
from resnets.modalities.inputs import AnyInput
from resnets.models.catalog import find as find_network
from resnets.models.heads import FCNHead
from resnets.recipes.catalog import find
from resnets.recipes.initial_weights import with_weights

OWN = Preprocessing(resize=64, crop=56, interpolation="bicubic", mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))


def facts(preprocessing: AnyInput, *notes: str) -> WeightsFacts:
    return WeightsFacts("a.pth", "resnet18", find_network("resnet18"), preprocessing, (), notes)


def test_normalisation_is_that_of_the_weights_and_sizes_stay() -> None:
    recipe, lines = with_weights(find("paper/cifar"), facts(OWN, "A note."), keeps_model=False)
    assert recipe.normalize == "given"
    assert recipe.preprocessing == replace(OWN, resize=32, crop=32)
    assert (recipe.weights, recipe.model) == ("a.pth", find_network("resnet18"))
    assert lines == (
        "A note.",
        "The recipe paper/cifar keeps its own sizes: RGB, shorter side 32, centre 32, bicubic.",
        "The network is that of the weights: resnet18.",
    )


def test_the_network_stays_where_it_is_to() -> None:
    recipe, lines = with_weights(find("paper/cifar"), facts(OWN), keeps_model=True)
    assert recipe.model == find("paper/cifar").model
    assert lines == ()


def test_grey_images_are_normalised_by_the_average() -> None:
    recipe, _ = with_weights(find("digits"), facts(OWN), keeps_model=True)
    settings = recipe.preprocessing
    assert isinstance(settings, Preprocessing)
    assert settings.color == "L"
    assert settings.mean == pytest.approx((0.2,))
    assert settings.std == pytest.approx((0.5,))


def test_a_mean_image_needs_its_size() -> None:
    pixels = np.full((3, 32, 32), 0.25, np.float32)
    theirs = Preprocessing(resize=32, crop=32, mean_image=encode_mean_image(pixels), std=(1.0,) * 3)
    recipe, _ = with_weights(find("paper/cifar"), facts(theirs), keeps_model=True)
    assert recipe.preprocessing == theirs
    larger = replace(find("paper/cifar"), preprocessing=Preprocessing(resize=40, crop=40), normalize="channels")
    recipe, lines = with_weights(larger, facts(theirs), keeps_model=True)
    expected = Preprocessing(resize=40, crop=40, mean=(0.25,) * 3, std=(1.0,) * 3)
    assert (recipe.preprocessing, recipe.normalize) == (expected, "given")
    assert "The mean image of the weights does not fit" in "".join(lines)


def test_a_recipe_for_masks_keeps_its_head_and_its_canvas() -> None:
    before = find("segmentation/small")
    recipe, _ = with_weights(before, facts(OWN), keeps_model=False)
    assert recipe.preprocessing == replace(before.preprocessing, mean=OWN.mean, std=OWN.std)  # type: ignore[arg-type]
    assert isinstance(recipe.model.head, FCNHead)
    assert recipe.model.output_stride == before.model.output_stride
    assert recipe.model.depths == (2, 2, 2, 2)


def test_images_on_canvases_are_normalised_as_the_classifiers_weights_were() -> None:
    theirs = Preprocessing(color="BGR", mean=(0.5,) * 3, std=(0.4,) * 3, interpolation="bicubic")
    before = find("detection/small").preprocessing
    recipe, _ = with_weights(find("detection/small"), facts(theirs), keeps_model=False)
    assert recipe.preprocessing == replace(before, color="BGR", mean=(0.5,) * 3, std=(0.4,) * 3)  # type: ignore[arg-type]
    pixels = np.full((3, 224, 224), 0.25, np.float32)
    pictured = Preprocessing(mean_image=encode_mean_image(pixels), std=(1.0,) * 3)
    recipe, lines = with_weights(find("segmentation/small"), facts(pictured), keeps_model=False)
    assert recipe.preprocessing.mean == (0.25,) * 3  # type: ignore[union-attr]
    assert "its mean by channel is subtracted" in "".join(lines)
