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
from resnets.core.units import show_size
from resnets.modalities.image.geometry import center, covering, inside

if TYPE_CHECKING:
    import numpy as np
    from numpy import typing as npt

    from resnets.modalities import base
else:
    np, npt, base = LazyModule("numpy"), LazyModule("numpy.typing"), LazyModule("resnets.modalities.base")

Interpolation = Literal["nearest", "bilinear", "bicubic"]
Color = Literal["RGB", "BGR", "L"]
Background = tuple[int, int, int]  # red, green and blue from 0 to 255
# How the whole image comes to the size of the input.
Fit = Literal["crop", "letterbox", "squash"]
# See `resnets.modalities.image.tta`.
TestTimeAugmentation = Literal["center", "flip", "shift", "ten-crop", "multi-scale"]
# Those that are made of the prepared image alone.
OF_THE_CENTER: tuple[TestTimeAugmentation, ...] = ("center", "flip", "shift")
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

    In place of a square there may be a rectangle, and in place of the centre crop the whole image; see `fit`.

    Args:
        resize: pixels of the shorter side after resizing; the other side follows, rounded down. For a rectangle, the
            image is resized until it just covers one of the same shape whose shorter side has so many pixels. Only
            "crop" reads it.
        crop: of the network's input: pixels of each side of a square, or height and width of a rectangle.
        interpolation: the filter of the resize.
        antialias: whether the filter widens when it shrinks an image, as Pillow's does. Networks trained with
            one and tested with the other silently lose accuracy.
        color: channels and their order; "L" is one channel of grey.
        mean, std: per channel, for values from 0 to 1: `(value - mean) / std`.
        mean_image: in place of `mean`, a mean for every pixel (He et al. 2015, section 4.2): float32 values of
            shape (channels, height, width), little-endian, in base64; see `encode_mean_image`.
        background: red, green and blue from 0 to 255, whatever `color` is, on which images that are transparent in part
            are composited. None drops the transparency, as torchvision and timm do.
        fit: "crop" resizes and cuts out the centre, so that the edges are not seen; "letterbox" resizes the whole image
            until it fits, keeps its shape, and fills what is left on two sides (as Pillow's `ImageOps.pad`); "squash"
            resizes height and width apart, so that shapes change. Training does the same, unless the recipe has
            random crops, which are of the image without borders.
        fill: red, green and blue from 0 to 255 of what "letterbox" leaves empty.

    Raises:
        UsageError: sizes out of range, a `std` of zero, or lengths that do not fit the channels.
    """

    resize: int = 256
    crop: int | tuple[int, int] = 224
    interpolation: Interpolation = "bilinear"
    antialias: bool = True
    color: Color = "RGB"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    mean_image: str | None = None
    background: Background | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    fit: Fit = field(default="crop", metadata=OMITTED_BY_DEFAULT)
    fill: Background = field(default=(114, 114, 114), metadata=OMITTED_BY_DEFAULT)

    modality: ClassVar[str] = "image"
    noun: ClassVar[str] = "image"
    fixed: ClassVar[bool] = True
    sized: ClassVar[bool] = True
    remarks: ClassVar[tuple[str, ...]] = ("transparent", "dark")  # see `modalities.image.remarks`

    def __post_init__(self) -> None:
        height, width = self.shape()
        if height == width and not isinstance(self.crop, int):
            object.__setattr__(self, "crop", height)  # one form for squares: equal settings are equal files
        given = height if height == width else [height, width]
        if self.fit != "crop":
            if not 1 <= min(height, width) <= max(height, width) <= MAX_SIZE or not 1 <= self.resize <= MAX_SIZE:
                raise UsageError(f"crop and resize take from 1 to {MAX_SIZE} pixels, not {given} and {self.resize}.")
        elif not 1 <= min(height, width) <= self.resize <= max(self.shape(self.resize)) <= MAX_SIZE:
            raise UsageError(
                f"preprocessing needs 1 <= crop <= resize <= {MAX_SIZE}, not crop {given} of resize {self.resize}."
            )
        check_levels(self.channels, self.color, self.mean, self.std, self.background)
        if not all(0 <= level <= 255 for level in self.fill):
            raise UsageError(f"fill takes red, green and blue from 0 to 255, not {self.fill}.")
        if self.mean_image is not None:
            self.mean_pixels()

    @property
    def channels(self) -> int:
        """Channels of the network's input."""
        return 1 if self.color == "L" else 3

    @property
    def summary(self) -> str:
        """Such as "RGB, shorter side 256, centre 224, bilinear"; a rectangle as width x height."""
        size = show_size(self.crop)
        if self.fit == "letterbox":
            return f"{self.color}, whole in {size}, filled with {list(self.fill)}, {self.interpolation}"
        if self.fit == "squash":
            return f"{self.color}, squashed to {size}, {self.interpolation}"
        if isinstance(self.crop, int):
            return f"{self.color}, shorter side {self.resize}, centre {size}, {self.interpolation}"
        return f"{self.color}, covering {show_size(self.shape(self.resize))}, centre {size}, {self.interpolation}"

    @property
    def tta(self) -> tuple[str, ...]:
        """The test-time augmentations; those of several places in the image are for centre crops."""
        return get_args(TestTimeAugmentation) if self.fit == "crop" else OF_THE_CENTER

    def shape(self, size: int | None = None) -> tuple[int, int]:
        """Height and width of an input.

        Args:
            size: pixels of the shorter side, where it is not the settings' own; the other keeps its share.
        """
        height, width = (self.crop, self.crop) if isinstance(self.crop, int) else self.crop
        if size is None:
            return height, width
        shorter = min(height, width)
        return round(height * size / shorter), round(width * size / shorter)

    def with_size(self, size: int | tuple[int, int]) -> Preprocessing:
        """The settings for inputs of another size; `resize` keeps its ratio to the shorter side, such as 256 to 224.

        Args:
            size: pixels of each side of a square, or height and width.

        Raises:
            UsageError: a size out of range, or the mean image has another one.
        """
        height, width = (size, size) if isinstance(size, int) else size
        if (height, width) == self.shape():
            return self
        if self.mean_image is not None:
            raise UsageError(
                f"This network subtracts a mean image of {show_size(self.crop)} px, which other sizes do not have: "
                "keep that size, or train with normalize=channels."
            )
        shorter = min(height, width)
        check_side(shorter)
        resize = max(shorter, round(shorter * self.resize / min(self.shape())))
        return replace(self, crop=(height, width), resize=min(resize, MAX_SIZE))

    def part_of(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """As `Input.part_of`. A letterbox reaches beyond the image."""
        rows, columns = self.shape()
        if self.fit == "squash":
            return 0.0, 0.0, float(size[0]), float(size[1])
        if self.fit == "letterbox":
            resized = inside(size, (rows, columns))
            left, top = (-corner for corner in center((columns, rows), (resized[1], resized[0])))
        else:
            resized = covering(size, self.shape(self.resize))
            left, top = center(resized, (rows, columns))
        x, y = size[0] / resized[0], size[1] / resized[1]
        return left * x, top * y, (left + columns) * x, (top + rows) * y

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
        """The mean, to be broadcast over (channels, height, width)."""
        if self.mean_image is None:
            return np.array(self.mean, np.float32).reshape(-1, 1, 1)
        try:
            values = np.frombuffer(base64.b64decode(self.mean_image, validate=True), "<f4")
            return values.astype(np.float32).reshape(self.channels, *self.shape())
        except (ValueError, binascii.Error):
            height, width = self.shape()
            raise UsageError(
                f"mean_image does not hold {self.channels} x {height} x {width} float32 values in base64."
            ) from None


def check_side(side: int) -> None:
    """Raises UsageError if `side` is no number of pixels of an input."""
    if not 1 <= side <= MAX_SIZE:
        raise UsageError(f"size must be from 1 to {MAX_SIZE} pixels, not {side}.")


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
    """The text of `Preprocessing.mean_image` for `pixels` of shape (channels, height, width), from 0 to 1."""
    return base64.b64encode(pixels.astype("<f4").tobytes()).decode()
