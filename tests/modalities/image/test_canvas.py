"""Settings of images of any size, and of their augmentations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from resnets.core.config import decode, encode
from resnets.core.errors import UsageError
from resnets.modalities.base import DatasetSplits
from resnets.modalities.image.canvas import Canvas
from resnets.modalities.image.canvas_augmentations import CanvasAugmentations
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms import Affine, ColorJitter, CutMix, Cutout, Flip, Mixup, PaddedCrop
from resnets.modalities.image.transforms.random_scale_crop import RandomScaleCrop


@pytest.mark.parametrize(
    ("canvas", "size", "expected"),
    [
        (Canvas(), (360, 480), (360, 480)),
        (Canvas(resize=180), (360, 480), (180, 240)),
        (Canvas(resize=180), (480, 361), (239, 180)),
        (Canvas(resize=520), (360, 480), (520, 693)),
        (Canvas(max_size=400), (360, 480), (300, 400)),
        (Canvas(resize=300, max_size=300), (100, 5), (300, 15)),
        (Canvas(resize=300, max_size=300), (1, 5000), (1, 300)),
        (Canvas(max_size=None), (10, 5000), (10, 5000)),
    ],
)
def test_evaluation_sizes(canvas: Canvas, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert canvas.evaluation_size(*size) == expected


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"resize": 0}, "resize must be from 1"),
        ({"max_size": 99_999}, "max_size must be from 1"),
        ({"resize": 500, "max_size": 400}, "resize 500, the shorter side, must be at most max_size 400"),
        ({"crop": (0, 4)}, "crop takes height and width"),
        ({"crop": (4, 4, 4)}, "crop takes 2 values"),
        ({"color": "L"}, "mean and std need 1 values"),
        ({"std": (0.0, 1.0, 1.0)}, "std must be above zero"),
        ({"background": (0, 0, 300)}, "background takes"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Canvas(**settings)


def test_settings_are_json_and_back() -> None:
    canvas = Canvas(resize=360, crop=(240, 320))
    assert decode(Canvas, encode(canvas)) == canvas
    augmentations = CanvasAugmentations(transforms=(Flip(), ColorJitter()))
    assert decode(CanvasAugmentations, encode(augmentations)) == augmentations


def test_grey_data_makes_a_grey_canvas() -> None:
    assert Canvas().for_data(DatasetSplits({}, color="L")).channels == 1
    assert Canvas().for_data(DatasetSplits({})) == Canvas()


@pytest.mark.parametrize("transform", [PaddedCrop(), Affine(), Cutout()])
def test_what_cannot_move_masks_is_refused_with_the_reason(transform: Any) -> None:
    with pytest.raises(UsageError, match=f"{type(transform).__name__} cannot be used with masks, since it "):
        CanvasAugmentations(transforms=(Flip(), transform))


@pytest.mark.parametrize("mix", [Mixup(), CutMix()])
def test_mixes_are_refused_with_the_reason(mix: Any) -> None:
    with pytest.raises(UsageError, match=f"{type(mix).__name__} cannot be used with masks, since "):
        CanvasAugmentations(mix=(mix,))


def test_augmentations_are_checked_against_input_and_network() -> None:
    check = CanvasAugmentations().check
    check(Canvas(), least=17, normalize="given", tta="flip")
    usual: dict[str, Any] = {"settings": Canvas(), "least": 17, "normalize": "given", "tta": "center"}
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"settings": Preprocessing()}, "do not fit an input of Preprocessing"),
        ({"settings": Canvas(crop=(64, 8))}, "A crop of 8 px is too small"),
        ({"normalize": "mean image"}, "normalize=mean image is not for images of any size"),
        ({"normalize": "channels"}, "give normalize=given"),
        ({"tta": "ten-crop"}, "tta=ten-crop is not for masks: choose from center, flip"),
    )
    for settings, said in wrong:
        with pytest.raises(UsageError, match=said):
            check(**{**usual, **settings})


@pytest.mark.parametrize("scales", [(0.0, 1.0), (2.0, 1.0), (1.0, 17.0)])
def test_wrong_scales_are_named(scales: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="RandomScaleCrop needs 0 < min_scale <= max_scale <= 16"):
        RandomScaleCrop(min_scale=scales[0], max_scale=scales[1])


def test_a_crop_is_where_its_numbers_say() -> None:
    crop = RandomScaleCrop(min_scale=0.5, max_scale=2.0)

    def place(*u: float) -> tuple[tuple[int, int], tuple[int, int]]:
        placement = crop.place(np.array(u, np.float32), (100, 200), Canvas(), (60, 80))
        assert placement.canvas == (60, 80)
        return placement.resized, placement.corner

    assert place(0.0, 0.9, 0.9) == ((50, 100), (0, 18))  # lower than the crop: filled below
    assert place(1 / 3, 0.0, 0.0) == ((100, 200), (0, 0))
    assert place(1 / 3, 0.9999, 0.9999) == ((100, 200), (40, 120))
    assert place(0.999999, 0.5, 0.5)[0] == (200, 400)


@pytest.mark.parametrize(
    ("was", "size", "resize", "crop"),
    [
        (Canvas(resize=520, crop=(480, 480)), 260, 260, (240, 240)),
        (Canvas(resize=360, crop=(240, 320)), 180, 180, (120, 160)),
        (Canvas(crop=(240, 320)), 120, 120, (120, 160)),
        (Canvas(resize=360), 4000, 4000, (5333, 5333)),
    ],
)
def test_another_size_is_of_the_shorter_side_and_training_crops_follow(
    was: Canvas, size: int, resize: int, crop: tuple[int, int]
) -> None:
    found = was.with_size(size)
    assert (found.resize, found.crop) == (resize, crop)
    with pytest.raises(UsageError, match=r"size is one number here, the shorter side; .*crop=\[240, 320\]"):
        was.with_size((240, 320))
