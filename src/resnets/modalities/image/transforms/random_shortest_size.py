"""The whole image at a random size, the usual augmentation of detectors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from resnets.core.typed import checked
from resnets.modalities.image.preprocessing import MAX_SIZE
from resnets.modalities.image.transforms.base import CanvasCrop, pick, require

if TYPE_CHECKING:
    from resnets.modalities.image.canvas import Canvas
    from resnets.modalities.image.placement import Placement
    from resnets.modalities.image.transforms.base import Uniforms


@dataclass(frozen=True, kw_only=True)
@checked
class RandomShortestSize(CanvasCrop):
    """The whole image, with its shorter side of a random length (detectron2's `ResizeShortestEdge` with a range,
    torchvision's `RandomShortestSize`), or shorter, so that all of it fits the canvas; the rest is filled.

    Args:
        min_size: pixels of the shortest length; None for that of evaluation, so that nothing is drawn.
        max_size: of the longest; None for that of evaluation. Lengths between are drawn evenly.
    """

    min_size: int | None = None
    max_size: int | None = None

    numbers: ClassVar[int] = 1  # the size: part of the data format

    def __post_init__(self) -> None:
        for name, value in (("min_size", self.min_size), ("max_size", self.max_size)):
            require(value is None or 1 <= value <= MAX_SIZE, f"{name} must be from 1 to {MAX_SIZE}, not {value}.")
        require(
            None in (self.min_size, self.max_size) or (self.min_size or 0) <= (self.max_size or 0),
            f"min_size {self.min_size} must be at most max_size {self.max_size}.",
        )

    def with_size(self, was: int, now: int) -> RandomShortestSize:
        least, most = (None if side is None else max(1, round(side * now / was)) for side in self._sizes)
        return replace(self, min_size=least, max_size=most)

    def with_range(self, least: int, most: int) -> RandomShortestSize:
        return replace(self, min_size=least, max_size=most)

    def place(self, u: Uniforms, size: tuple[int, int], settings: Canvas, canvas: tuple[int, int]) -> Placement:
        shorter = min(settings.evaluation_size(*size))
        least, most = (shorter if side is None else side for side in self._sizes)
        least = min(least, most)
        side = least + pick(u[0], most - least + 1)
        scale = min(side / min(size), canvas[0] / size[0], canvas[1] / size[1])
        # The last scale is that of a side of the canvas, of which rounding may lose a pixel.
        height, width = (max(1, min(most, int(side * scale + 1e-6))) for side, most in zip(size, canvas, strict=True))
        return self.cut((height, width), (0.0, 0.0), settings, canvas)

    @property
    def _sizes(self) -> tuple[int | None, int | None]:
        return self.min_size, self.max_size
