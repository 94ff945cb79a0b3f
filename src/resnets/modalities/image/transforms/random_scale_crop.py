"""A random scale and a random crop, the usual augmentation of images with masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from resnets.core.typed import checked
from resnets.modalities.image.transforms.base import require

if TYPE_CHECKING:
    from resnets.modalities.image.placement import Placement
    from resnets.modalities.image.transforms.base import Uniforms

MAX_SCALE = 16.0


@dataclass(frozen=True, kw_only=True)
@checked
class RandomScaleCrop:
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

    def place(self, u: Uniforms, size: tuple[int, int], crop: tuple[int, int]) -> Placement:
        """Where an image comes to lie.

        Args:
            u: (numbers,) uniform numbers in [0, 1).
            size: height and width at which the image is evaluated.
            crop: height and width of the result.
        """
        from resnets.modalities.image.placement import Placement

        scale = self.min_scale + float(u[0]) * (self.max_scale - self.min_scale)
        height, width = (max(1, round(side * scale)) for side in size)
        top = int(float(u[1]) * (max(0, height - crop[0]) + 1))
        left = int(float(u[2]) * (max(0, width - crop[1]) + 1))
        return Placement((height, width), (top, left), crop)
