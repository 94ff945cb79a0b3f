"""From an array to an image: the shapes and numbers that are read, by one rule for NumPy and torch.

Shapes: (height, width) is grey; (height, width, channels) and (channels, height, width) differ in which end is 1, 3 or
4 (the last may be 2): grey, RGB, RGB with alpha; 2 is grey with alpha. A shape that is both is refused. The
order of colours is red, green, blue, so that OpenCV's images have to be reversed, `array[..., ::-1]`.

Numbers: uint8 from 0 to 255; uint16 as a file of 16 bits, whose lower byte is dropped; bool as black and white; floats
from 0 to 1, rounded to the nearest of 256 levels, which gives back the uint8 that was divided by 255. Nothing else is
guessed, such as floats that are normalised or lie between 0 and 255.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.core.errors import DataError

_LAST = (1, 2, 3, 4)
_FIRST = (1, 3, 4)
_ROUNDING = 1e-6  # beyond 0 and 1, which float32 may have after a computation


def image_of_array(array: NDArray[Any], name: str) -> Image.Image:
    """The image of Pillow's, as if decoded from a file; see above.

    Args:
        array: of 2 or 3 dimensions.
        name: for messages.

    Raises:
        DataError: its shape is ambiguous or no image's, or its numbers are none of those above.
    """
    levels = _levels(_channels_last(array, name), name)
    if levels.ndim == 3 and levels.shape[2] == 1:
        levels = levels[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(levels))


def _channels_last(array: NDArray[Any], name: str) -> NDArray[Any]:
    """(height, width) or (height, width, channels)."""
    if 0 in array.shape:
        raise DataError(f"{name} has the shape {array.shape}, which holds no pixels.")
    if array.ndim == 2:
        return array
    last, first = array.shape[2] in _LAST, array.shape[0] in _FIRST
    if last and first:
        raise DataError(
            f"{name} has the shape {array.shape}, which may be (height, width, channels) or (channels, height, width): "
            "give Image.fromarray(array) of Pillow, where it is the first."
        )
    if not last and not first:
        raise DataError(
            f"{name} has the shape {array.shape}: an image is (height, width), (height, width, channels) or (channels, "
            "height, width), with 1, 3 or 4 channels. Several grey images are (N, height, width, 1)."
        )
    return array if last else array.transpose(1, 2, 0)


def _levels(array: NDArray[Any], name: str) -> NDArray[Any]:
    """The numbers of `array` as those that Pillow has: uint8; of one channel also uint16 and bool."""
    kind = array.dtype.kind
    if array.dtype == np.uint8:
        return array
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
    if kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # NaN is not either
            raise DataError(
                f"{name} has floats from {low:.4g} to {high:.4g}: floats are from 0 to 1, before any normalisation. "
                "Divide those up to 255 by 255, or give uint8."
            )
        return np.rint(np.clip(array.astype(np.float64), 0, 1) * 255).astype(np.uint8)
    raise DataError(
        f"{name} has numbers of {array.dtype}: give uint8 from 0 to 255 (array.astype(numpy.uint8)), or floats from "
        "0 to 1."
    )
