"""Random erasing of a rectangle."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from resnets.core.config import OMITTED_BY_DEFAULT
from resnets.core.typed import checked
from resnets.modalities.image.transforms.base import require

if TYPE_CHECKING:
    from torch import Tensor

    from resnets.modalities.rng import BatchRNG

_ATTEMPTS = 10


@dataclass(frozen=True, kw_only=True)
@checked
class RandomErasing:
    """A random rectangle of normalised images without what it showed (Zhong et al. 2020, 1708.04896).

    The rectangle is the first of ten random ones that is smaller than the image in both directions, else there is
    none, as in torchvision's `RandomErasing` and in timm's.

    Args:
        p: probability for each image.
        scale: smallest and largest fraction of the image's area.
        ratio: smallest and largest height / width, drawn evenly on a log scale.
        fill: "mean" sets it to 0, the mean colour (timm's mode "const"), "noise" to normal noise for each channel and
            pixel (timm's mode "pixel"), one noise image for all images of a step (timm draws one for each).
    """

    p: float = 0.1
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    fill: Literal["mean", "noise"] = field(default="mean", metadata=OMITTED_BY_DEFAULT)

    numbers: ClassVar[int] = 2 * _ATTEMPTS + 3  # area and shape of each attempt, then row, column, and whether

    def __post_init__(self) -> None:
        require(0 <= self.p <= 1, f"p must be in [0, 1], not {self.p:g}.")
        require(0 < self.scale[0] <= self.scale[1] <= 1, f"scale needs 0 < low <= high <= 1, not {self.scale}.")
        require(0 < self.ratio[0] <= self.ratio[1], f"ratio needs 0 < low <= high, not {self.ratio}.")

    def draw(self, rng: BatchRNG) -> Tensor:
        """(N, numbers) uniform numbers for `__call__`."""
        return rng.uniforms("erasing", self.numbers)

    def draw_noise(self, rng: BatchRNG, images_NCHW: Tensor) -> Tensor | None:  # noqa: N803
        """(C, H, W) normal numbers for `__call__`; None where no noise is shown."""
        import numpy as np

        from resnets.core.devices import to_device

        if self.fill == "mean":
            return None
        drawn = rng.generator("erasing noise").standard_normal(tuple(images_NCHW.shape[1:]), np.float32)
        return to_device(drawn, images_NCHW.device)

    def __call__(self, images_NCHW: Tensor, u: Tensor, noise: Tensor | None = None) -> Tensor:  # noqa: N803
        """The images with their rectangles.

        Args:
            images_NCHW: float32, normalised.
            u: (N, numbers) uniform numbers in [0, 1).
            noise: (C, H, W) what the rectangles show; None is 0.
        """
        import torch

        from resnets.core.devices import to_device

        height, width = images_NCHW.shape[2:]
        top, left, rows, columns = to_device(self.boxes((height, width), u), images_NCHW.device)
        row, column = torch.arange(height, device=u.device), torch.arange(width, device=u.device)
        in_rows = (row >= top[:, None]) & (row < (top + rows)[:, None])
        in_columns = (column >= left[:, None]) & (column < (left + columns)[:, None])
        inside = in_rows[:, None, :, None] & in_columns[:, None, None, :]
        return images_NCHW.masked_fill(inside, 0.0) if noise is None else torch.where(inside, noise, images_NCHW)

    def boxes(self, size: tuple[int, int], u: Tensor) -> Tensor:
        """(4, N) int64 the rectangles: top, left, height and width in pixels; of height 0 where there is none.

        Args:
            size: height and width of the images.
        """
        import torch

        from resnets.core.devices import float64_device

        exact = u.to(float64_device(u.device)).double()
        area = size[0] * size[1] * (self.scale[0] + (self.scale[1] - self.scale[0]) * exact[:, 0 : 2 * _ATTEMPTS : 2])
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = torch.exp(low + (high - low) * exact[:, 1 : 2 * _ATTEMPTS : 2])
        heights, widths = torch.sqrt(area * ratio).round().long(), torch.sqrt(area / ratio).round().long()
        fits = (heights < size[0]) & (widths < size[1])
        first = fits.int().argmax(1, keepdim=True)  # the first that fits, or 0
        height, width = heights.gather(1, first)[:, 0], widths.gather(1, first)[:, 0]
        erased = fits.any(1) & (exact[:, -1] < self.p)
        top = (exact[:, -3] * (size[0] - height + 1)).long()
        left = (exact[:, -2] * (size[1] - width + 1)).long()
        return torch.stack([top, left, height.masked_fill(~erased, 0), width])
