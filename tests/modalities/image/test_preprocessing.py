"""Preprocessing as data: what is refused, and the mean image's text."""

from __future__ import annotations

import base64
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike

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
