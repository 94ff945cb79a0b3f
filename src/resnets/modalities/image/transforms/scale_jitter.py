"""Large scale jittering: the image at a random scale of the canvas, and a random crop of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.modalities.image.transforms.base import CanvasCrop, require
from resnets.modalities.image.transforms.random_scale_crop import MAX_SCALE

if TYPE_CHECKING:
    from resnets.modalities.image.canvas import Canvas
    from resnets.modalities.image.placement import Placement
    from resnets.modalities.image.transforms.base import Uniforms


@dataclass(frozen=True, kw_only=True)
@checked
class ScaleJitter(CanvasCrop):
    """The image at a random scale, of which 1 is where it just fits the canvas, then a crop of the canvas at a random
    place; where the image is smaller, the canvas is filled (Ghiasi et al. 2021, 2012.07177, section 3; as torchvision's
    `ScaleJitter` and `RandomCrop` with padding).

    Args:
        min_scale, max_scale: smallest and largest scale, drawn evenly. The paper's standard jitter is from 0.8 to 1.25,
            its large one from 0.1 to 2.
    """

    min_scale: float = 0.1
    max_scale: float = 2.0

    numbers: ClassVar[int] = 3  # scale, row, column: part of the data format

    def __post_init__(self) -> None:
        require(
            0 < self.min_scale <= self.max_scale <= MAX_SCALE,
            f"ScaleJitter needs 0 < min_scale <= max_scale <= {MAX_SCALE:g}, not {self.min_scale}, {self.max_scale}.",
        )

    def with_range(self, least: int, most: int) -> ScaleJitter:
        raise UsageError(
            "ScaleJitter draws scales of the canvas, not sizes: give one --size, and augmentations.crop.min_scale and "
            "max_scale."
        )

    def place(self, u: Uniforms, size: tuple[int, int], settings: Canvas, canvas: tuple[int, int]) -> Placement:
        scale = self.min_scale + float(u[0]) * (self.max_scale - self.min_scale)
        scale *= min(canvas[0] / size[0], canvas[1] / size[1])
        return self.cut((max(1, int(size[0] * scale)), max(1, int(size[1] * scale))), u[1:], settings, canvas)
