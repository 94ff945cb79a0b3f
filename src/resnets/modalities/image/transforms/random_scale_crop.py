"""A random scale and a random crop, the usual augmentation of images with masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from resnets.core.typed import checked
from resnets.modalities.image.transforms.base import CanvasCrop, require

if TYPE_CHECKING:
    from resnets.modalities.image.canvas import Canvas
    from resnets.modalities.image.placement import Placement
    from resnets.modalities.image.transforms.base import Uniforms

MAX_SCALE = 16.0


@dataclass(frozen=True, kw_only=True)
@checked
class RandomScaleCrop(CanvasCrop):
    """The image at a random scale, then a crop of one size at a random place (torchvision's reference scripts of
    segmentation, `RandomResize` and `RandomCrop`). Where the image is smaller, the crop is filled below and to the
    right.

    Args:
        min_scale, max_scale: smallest and largest scale, drawn evenly; 1 is the size at which images are evaluated.
    """

    min_scale: float = 0.5
    max_scale: float = 2.0

    numbers: ClassVar[int] = 3  # scale, row, column: part of the data format

    def __post_init__(self) -> None:
        require(
            0 < self.min_scale <= self.max_scale <= MAX_SCALE,
            f"RandomScaleCrop needs 0 < min_scale <= max_scale <= {MAX_SCALE:g}, "
            f"not {self.min_scale}, {self.max_scale}.",
        )

    def with_range(self, least: int, most: int) -> RandomScaleCrop:
        return RandomScaleCrop(min_scale=least / most, max_scale=1.0)

    def place(self, u: Uniforms, size: tuple[int, int], settings: Canvas, canvas: tuple[int, int]) -> Placement:
        scale = self.min_scale + float(u[0]) * (self.max_scale - self.min_scale)
        height, width = (max(1, round(side * scale)) for side in settings.evaluation_size(*size))
        return self.cut((height, width), u[1:], settings, canvas)
