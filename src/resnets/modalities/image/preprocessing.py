"""How an image becomes a network's input, as frozen data that travels in the model file.

Training, `evaluate`, `predict`, export and the server all read this one description, so that a model's input is
prepared in the same way everywhere.
"""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from resnets.core.config import OMITTED_BY_DEFAULT
from resnets.core.errors import UsageError
from resnets.core.lazy import LazyModule
from resnets.core.typed import checked

if TYPE_CHECKING:
    import numpy as np
    from numpy import typing as npt

    from resnets.modalities import base
else:
    np, npt, base = LazyModule("numpy"), LazyModule("numpy.typing"), LazyModule("resnets.modalities.base")

Interpolation = Literal["nearest", "bilinear", "bicubic"]
Color = Literal["RGB", "BGR", "L"]
Background = tuple[int, int, int]  # red, green and blue from 0 to 255
# See `resnets.modalities.image.tta`.
TestTimeAugmentation = Literal["center", "flip", "shift", "ten-crop", "multi-scale"]
# Where mean and std come from: the preprocessing, or the training images: a mean and a std for each channel, or a mean
# for each pixel and no division (He et al. 2015, section 4.2).
Normalize = Literal["given", "channels", "mean image"]

MAX_SIZE = 16384  # pixels of a side
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
@checked
class Preprocessing:
    """Turns an image upright, converts it to `color`, resizes the shorter side, crops the centre, scales, normalises.

    Args:
        resize: pixels of the shorter side after resizing; the other side follows, rounded down.
        crop: pixels of each side of the square cut from the centre.
        interpolation: the filter of the resize.
        antialias: whether the filter widens when it shrinks an image, as Pillow's does. Networks trained with
            one and tested with the other silently lose accuracy.
        color: channels and their order; "L" is one channel of grey.
        mean, std: per channel, for values from 0 to 1: `(value - mean) / std`.
        mean_image: in place of `mean`, a mean for every pixel (He et al. 2015, section 4.2): float32 values of
            shape (channels, crop, crop), little-endian, in base64; see `encode_mean_image`.
        background: red, green and blue from 0 to 255, whatever `color` is, on which images that are transparent in part
            are composited. None drops the transparency, as torchvision and timm do.

    Raises:
        UsageError: sizes out of range, a `std` of zero, or lengths that do not fit the channels.
    """

    resize: int = 256
    crop: int = 224
    interpolation: Interpolation = "bilinear"
    antialias: bool = True
    color: Color = "RGB"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    mean_image: str | None = None
    background: Background | None = field(default=None, metadata=OMITTED_BY_DEFAULT)

    modality: ClassVar[str] = "image"
    noun: ClassVar[str] = "image"
    fixed: ClassVar[bool] = True
    square: ClassVar[bool] = True  # every image is made a square of the recipe's size
    tta: ClassVar[tuple[str, ...]] = get_args(TestTimeAugmentation)
    remarks: ClassVar[tuple[str, ...]] = ("transparent", "dark")  # see `modalities.image.remarks`

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize <= MAX_SIZE:
            raise UsageError(
                f"preprocessing needs 1 <= crop <= resize <= {MAX_SIZE}, not crop {self.crop} of resize {self.resize}."
            )
        check_levels(self.channels, self.color, self.mean, self.std, self.background)
        if self.mean_image is not None:
            self.mean_pixels()

    @property
    def channels(self) -> int:
        """Channels of the network's input."""
        return 1 if self.color == "L" else 3

    @property
    def summary(self) -> str:
        """Such as "RGB, shorter side 256, centre 224, bilinear"."""
        return f"{self.color}, shorter side {self.resize}, centre {self.crop}, {self.interpolation}"

    def shape(self, size: int | None = None) -> tuple[int, int]:
        """Height and width of a training input."""
        return (size or self.crop, size or self.crop)

    def for_data(self, splits: base.DatasetSplits) -> Preprocessing:
        """Grey where all images of the data are."""
        if splits.color != "L" or self.color == "L":
            return self
        return replace(self, color="L", mean=(0.5,), std=(0.5,), mean_image=None)

    def with_statistics(self, how: str, mean: npt.NDArray[np.float32], std: tuple[float, ...]) -> Preprocessing:
        """With the statistics of the training set that `how` names; see `Normalize` and `Input.with_statistics`."""
        if how == "mean image":
            return replace(self, mean_image=encode_mean_image(mean), std=(1.0,) * self.channels)
        means = tuple(mean.mean((1, 2), dtype="float64").tolist())
        return replace(self, mean=means, std=tuple(max(s, 1e-6) for s in std), mean_image=None)

    def mean_pixels(self) -> npt.NDArray[np.float32]:
        """The mean, to be broadcast over (channels, crop, crop)."""
        if self.mean_image is None:
            return np.array(self.mean, np.float32).reshape(-1, 1, 1)
        try:
            values = np.frombuffer(base64.b64decode(self.mean_image, validate=True), "<f4")
            return values.astype(np.float32).reshape(self.channels, self.crop, self.crop)
        except (ValueError, binascii.Error):
            raise UsageError(
                f"mean_image does not hold {self.channels} x {self.crop} x {self.crop} float32 values in base64."
            ) from None


def check_levels(
    channels: int, color: Color, mean: tuple[float, ...], std: tuple[float, ...], background: Background | None
) -> None:
    """Checks what the settings of any input of images have.

    Raises:
        UsageError: `mean` and `std` do not fit the channels, a number is not finite, a `std` is not above 0, or the
            background is no colour.
    """
    if len(mean) != channels or len(std) != channels:
        raise UsageError(f"mean and std need {channels} values each for color {color}.")
    if not all(0 < s < math.inf for s in std) or not all(map(math.isfinite, mean)):
        raise UsageError(f"every std must be above zero and every mean a number, not {std} and {mean}.")
    if background is not None and not all(0 <= level <= 255 for level in background):
        raise UsageError(f"background takes red, green and blue from 0 to 255, not {background}.")


def encode_mean_image(pixels: npt.NDArray[np.float32]) -> str:
    """The text of `Preprocessing.mean_image` for `pixels` of shape (channels, crop, crop), from 0 to 1."""
    return base64.b64encode(pixels.astype("<f4").tobytes()).decode()
