"""Preprocessing as data: what is refused, and the mean image's text."""

from __future__ import annotations

import base64
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike

from resnets.core.config import decode, encode, override
from resnets.core.errors import UsageError
from resnets.modalities.image.preprocessing import Preprocessing, encode_mean_image


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crop": 0}, "crop 0 of resize 256"),
        ({"crop": 257}, "crop 257 of resize 256"),
        ({"resize": 20_000}, "resize 20000"),
        ({"mean": (0.5,)}, "mean and std need 3 values"),
        ({"std": (1.0, 1.0, 1.0, 1.0)}, "mean and std need 3 values"),
        ({"color": "L"}, "need 1 values each for color L"),
        ({"std": (1.0, 0.0, 1.0)}, "std must be above zero"),
        ({"std": (1.0, -1.0, 1.0)}, "std must be above zero"),
        ({"std": (1.0, float("nan"), 1.0)}, r"std\[1\] takes a number, not nan"),
        ({"std": (1.0, float("inf"), 1.0)}, r"std\[1\] takes a number, not inf"),
        ({"mean": (0.5, float("nan"), 0.5)}, r"mean\[1\] takes a number, not nan"),
        ({"mean_image": "no base64!"}, "mean_image does not hold 3 x 224 x 224"),
        ({"mean_image": "ä"}, "mean_image does not hold"),
        (
            {"crop": 2, "mean_image": "!" + encode_mean_image(np.zeros((3, 2, 2), np.float32))},
            "does not hold 3 x 2 x 2",
        ),
        ({"mean_image": encode_mean_image(np.zeros((3, 2, 2), np.float32))}, "mean_image does not hold"),
        ({"mean_image": base64.b64encode(b"12345").decode()}, "mean_image does not hold"),
    ],
)
def test_what_cannot_be_is_refused_with_the_values(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Preprocessing(**fields)


@pytest.mark.parametrize(("color", "channels"), [("RGB", 3), ("BGR", 3), ("L", 1)])
def test_a_color_has_its_channels(color: Any, channels: int) -> None:
    values = (0.5,) * channels
    assert Preprocessing(color=color, mean=values, std=values).channels == channels


def test_the_mean_stands_before_rows_and_columns() -> None:
    pixels = Preprocessing(mean=(0.1, 0.2, 0.3)).mean_pixels()
    np.testing.assert_array_equal(pixels, np.array([[[0.1]], [[0.2]], [[0.3]]], np.float32))
    assert pixels.dtype == np.float32


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f8"])
def test_a_mean_image_comes_back_exactly_whatever_the_bytes_order_it_came_in(dtype: DTypeLike) -> None:
    pixels = np.random.default_rng(0).random((3, 5, 5), np.float32)
    text = encode_mean_image(pixels.astype(dtype))
    p = Preprocessing(resize=6, crop=5, mean_image=text)
    np.testing.assert_array_equal(p.mean_pixels(), pixels)
    assert p.mean_pixels().shape == (3, 5, 5)


def test_a_mean_image_is_little_endian_float32_in_base64() -> None:
    text = encode_mean_image(np.array([[[0.25, 0.5], [0.75, 1.0]]], np.float32))
    assert text == base64.b64encode(struct.pack("<4f", 0.25, 0.5, 0.75, 1.0)).decode()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crop": (0, 8)}, r"crop \[0, 8\] of resize 256"),
        ({"crop": (300, 400)}, r"crop \[300, 400\] of resize 256"),
        ({"crop": (2, 16384)}, r"crop \[2, 16384\]"),
        ({"crop": (4, 4, 4)}, "crop takes 2 values"),
        ({"crop": (0, 8), "fit": "squash"}, r"from 1 to 16384 pixels, not \[0, 8\]"),
        ({"crop": 20_000, "fit": "letterbox"}, "from 1 to 16384 pixels, not 20000"),
        ({"fit": "pad"}, "fit takes 'crop' or 'letterbox' or 'squash', not 'pad'"),
        ({"fill": (0, 0, 256)}, "fill takes red, green and blue"),
        ({"crop": (2, 3), "mean_image": encode_mean_image(np.zeros((3, 3, 2, 2), np.float32))}, "hold 3 x 2 x 3"),
    ],
)
def test_a_rectangle_that_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Preprocessing(**fields)


def test_files_of_squares_are_as_they_were_and_rectangles_come_back() -> None:
    assert encode(Preprocessing()).keys() == {
        "resize", "crop", "interpolation", "antialias", "color", "mean", "std", "mean_image"
    }  # fmt: skip
    assert Preprocessing(crop=(224, 224)) == Preprocessing(crop=224)
    assert encode(Preprocessing(crop=(224, 224)))["crop"] == 224
    for p in (Preprocessing(crop=(192, 224)), Preprocessing(resize=9, crop=(5, 7), fit="letterbox", fill=(1, 2, 3))):
        assert decode(Preprocessing, encode(p)) == p
        assert override(Preprocessing(), [f"crop={list(p.shape())}"]).shape() == p.shape()


@pytest.mark.parametrize(
    ("was", "size", "resize", "shape"),
    [
        ({}, 224, 256, (224, 224)),
        ({}, 112, 128, (112, 112)),
        ({}, (240, 320), 274, (240, 320)),
        ({"resize": 293, "crop": 256}, 224, 256, (224, 224)),
        ({"resize": 32, "crop": 32}, 128, 128, (128, 128)),
        ({"resize": 60, "crop": (48, 64)}, 96, 120, (96, 96)),
        ({"crop": 300, "fit": "squash"}, 150, 150, (150, 150)),
    ],
)
def test_another_size_keeps_the_ratio_of_resize_to_crop(
    was: dict[str, Any], size: Any, resize: int, shape: tuple[int, int]
) -> None:
    found = Preprocessing(**was).with_size(size)
    assert (found.resize, found.shape()) == (resize, shape)
    assert found.with_size(shape) == found


def test_another_size_is_refused_where_a_mean_image_has_one() -> None:
    p = Preprocessing(resize=5, crop=5, mean_image=encode_mean_image(np.zeros((3, 5, 5), np.float32)))
    assert p.with_size(5) == p
    with pytest.raises(UsageError, match=r"mean image of 5 px.*normalize=channels"):
        p.with_size(6)
    with pytest.raises(UsageError, match="size must be from 1 to 16384 pixels, not 0"):
        Preprocessing().with_size(0)


def test_sizes_during_training_are_of_the_shorter_side() -> None:
    p = Preprocessing(resize=120, crop=(96, 144))
    assert (p.shape(64), p.shape(96), p.shape()) == ((64, 96), (96, 144), (96, 144))
    assert Preprocessing().shape(160) == (160, 160)


def test_summaries_name_width_and_height() -> None:
    assert Preprocessing().summary == "RGB, shorter side 256, centre 224, bilinear"
    assert Preprocessing(resize=120, crop=(96, 144)).summary == "RGB, covering 180x120, centre 144x96, bilinear"
    assert Preprocessing(crop=(96, 144), fit="squash").summary == "RGB, squashed to 144x96, bilinear"
    assert "whole in 224, filled with [114, 114, 114]" in Preprocessing(fit="letterbox").summary
