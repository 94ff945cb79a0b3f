"""Images of any size, with what lies on them: whole in evaluation, on canvases of one size in training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from resnets.core.config import OMITTED_BY_DEFAULT
from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.modalities.image.geometry import center, inside
from resnets.modalities.image.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    MAX_SIZE,
    Background,
    Color,
    Interpolation,
    check_levels,
    check_side,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from resnets.modalities.base import DatasetSplits

# What lies on the images: a mask of classes; boxes; or boxes, each with the mask of its object.
Targets = Literal["masks", "boxes", "instances"]
MAX_DIVISOR = 256
SCALES = (1.0, 0.75, 1.25)  # of the size of evaluation


@dataclass(frozen=True, kw_only=True)
@checked
class Canvas:
    """Turns an image upright, converts it to `color`, resizes the whole of it, scales and normalises.

    Nothing is cut off in evaluation: inputs have the sizes of their images. Training has canvases of one size
    (`CanvasAugmentations`), whatever the other images of a batch are like. Where an input is larger than its image, it
    is filled with the mean, and "regions" say where the image is.

    Args:
        resize: pixels of the shorter side after resizing; the other side follows, rounded down. None keeps the size.
        max_size: the most pixels of the longer side after resizing, which goes before `resize`. None sets no bound.
        crop: height and width of the canvas in training, in pixels: of a crop, or of what the whole image is put on.
        interpolation: the filter of the resize. (Masks take the nearest pixel, always.)
        antialias: whether the filter widens when it shrinks an image, as Pillow's does.
        color: channels and their order; "L" is one channel of grey.
        mean, std: per channel, for values from 0 to 1: `(value - mean) / std`.
        background: red, green and blue from 0 to 255, on which images that are transparent in part are composited.
            None drops the transparency, as torchvision and timm do.
        targets: what lies on the images.
        letterbox: whether the image is put at the centre of a canvas of `crop` in evaluation too, as large as it fits;
            `resize` and `max_size` are not read then. Not for "masks".
        divisor: height and width of an evaluation input are multiples of it, filled to the right and below, such as 32
            in torchvision's detectors. Not for "masks".

    Raises:
        UsageError: sizes out of range, a `std` of zero, or lengths that do not fit the channels.
    """

    resize: int | None = None
    max_size: int | None = 2048
    crop: tuple[int, int] = (480, 480)
    interpolation: Interpolation = "bilinear"
    antialias: bool = True
    color: Color = "RGB"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    background: Background | None = None
    targets: Targets = field(default="masks", metadata=OMITTED_BY_DEFAULT)
    letterbox: bool = field(default=False, metadata=OMITTED_BY_DEFAULT)
    divisor: int = field(default=1, metadata=OMITTED_BY_DEFAULT)

    modality: ClassVar[str] = "image"
    noun: ClassVar[str] = "image"
    fixed: ClassVar[bool] = False
    sized: ClassVar[bool] = False
    # "center" is the image as it is, "multi-scale" has it and its mirror image at each of `SCALES`.
    tta: ClassVar[tuple[str, ...]] = ("center", "flip", "multi-scale")
    remarks: ClassVar[tuple[str, ...]] = ("transparent", "dark")  # see `modalities.image.remarks`

    def __post_init__(self) -> None:
        for name, value in (("resize", self.resize), ("max_size", self.max_size)):
            if value is not None and not 1 <= value <= MAX_SIZE:
                raise UsageError(f"{name} must be from 1 to {MAX_SIZE} pixels, or none, not {value}.")
        if self.resize is not None and self.max_size is not None and self.resize > self.max_size:
            raise UsageError(
                f"resize {self.resize}, the shorter side, must be at most max_size {self.max_size}, the longer one."
            )
        if not all(1 <= side <= MAX_SIZE for side in self.crop):
            raise UsageError(f"crop takes height and width from 1 to {MAX_SIZE} pixels, not {list(self.crop)}.")
        if not 1 <= self.divisor <= MAX_DIVISOR:
            raise UsageError(f"divisor must be from 1 to {MAX_DIVISOR}, not {self.divisor}.")
        if self.targets == "masks" and (self.letterbox or self.divisor > 1):
            raise UsageError("Masks of classes are predicted for the whole input: leave out letterbox and divisor.")
        check_levels(self.channels, self.color, self.mean, self.std, self.background)

    @property
    def channels(self) -> int:
        return 1 if self.color == "L" else 3

    @property
    def summary(self) -> str:
        side = "as large as it is" if self.resize is None else f"shorter side {self.resize}"
        if self.letterbox:
            side = "as large as it fits"
        what = "crops" if self.targets == "masks" else "canvases"
        return f"{self.color}, the whole image, {side}, {self.interpolation}; {what} of {self.crop[0]} x {self.crop[1]}"

    def shape(self, size: int | None = None) -> tuple[int, int]:
        """Height and width of a training input: the canvas, or a square of `size`."""
        return (size, size) if size is not None else self.crop

    def part_of(self, size: tuple[int, int]) -> None:
        return None

    def with_size(self, size: int | tuple[int, int]) -> Canvas:
        """The settings for images whose shorter side is resized to `size`; training crops keep their share of it.

        Where images keep their size, training crops get a shorter side of `size`.

        Raises:
            UsageError: a height and a width, since whole images have their own shapes; or a size out of range.
        """
        if not isinstance(size, int):
            raise UsageError(
                "Whole images keep their shapes, so size is one number here, the shorter side; training crops are set "
                f"by preprocessing.crop={list(size)} (height and width)."
            )
        check_side(size)
        scale = size / (min(self.crop) if self.resize is None or self.letterbox else self.resize)
        height, width = (max(1, round(side * scale)) for side in self.crop)
        most = self.max_size
        if most is not None:
            most = max(most, size) if self.targets == "masks" else min(MAX_SIZE, max(size, round(most * scale)))
        if self.letterbox:
            return replace(self, crop=(height, width))
        return replace(self, resize=size, max_size=most, crop=(height, width))

    def evaluation_size(self, height: int, width: int, scale: float = 1.0) -> tuple[int, int]:
        """Height and width of an image of `height` x `width` in the network's input, at a scale of the usual size."""
        rows, columns = self._usual_size(height, width)
        return max(1, round(scale * rows)), max(1, round(scale * columns))

    def _usual_size(self, height: int, width: int) -> tuple[int, int]:
        if self.letterbox:
            columns, rows = inside((width, height), self.crop)
            return rows, columns
        shorter, longer = min(height, width), max(height, width)
        side = shorter if self.resize is None else self.resize
        other = longer * side // shorter
        if self.max_size is not None and other > self.max_size:
            side, other = max(1, shorter * self.max_size // longer), self.max_size
        return (side, other) if height <= width else (other, side)

    def evaluation_canvas(self, resized: tuple[int, int], scale: float = 1.0) -> tuple[int, int]:
        """Height and width of the network's input for an image that has the size `resized` in it, at such a scale."""
        if self.letterbox:
            return max(resized[0], round(scale * self.crop[0])), max(resized[1], round(scale * self.crop[1]))
        height, width = (-(-side // self.divisor) * self.divisor for side in resized)
        return height, width

    def offset(self, resized: tuple[int, int], canvas: tuple[int, int]) -> tuple[int, int]:
        """Row and column of `canvas` at which an image of the size `resized` begins, where it is smaller."""
        if not self.letterbox:
            return 0, 0
        left, top = center((canvas[1], canvas[0]), resized)
        return max(0, top), max(0, left)

    def for_data(self, splits: DatasetSplits) -> Canvas:
        """Grey where all images of the data are."""
        if splits.color != "L" or self.color == "L":
            return self
        return replace(self, color="L", mean=(0.5,), std=(0.5,))

    def with_statistics(self, how: str, mean: NDArray[np.float32], std: tuple[float, ...]) -> Canvas:
        """Raises UsageError: statistics of a training set are those of samples of one size."""
        raise UsageError(f"normalize={how} is not for images of any size: give normalize=given.")
