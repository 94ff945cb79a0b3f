"""Random erasing of a square."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from resnets.core.typed import checked
from resnets.modalities.image.preprocessing import Color
from resnets.modalities.image.transforms.base import BatchTransform, require

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
@checked
class Cutout(BatchTransform):
    """A random square filled with the image's mean colour (DeVries and Taylor 2017, 1708.04552: the data's mean).

    The centre is any pixel, so the square may reach over an edge.

    Args:
        size: side of the square, in pixels.
    """

    size: int = 16

    numbers: ClassVar[int] = 2  # row and column of the centre

    def __post_init__(self) -> None:
        require(self.size >= 1, f"size must be 1 or more, not {self.size}.")

    def scaled(self, was: int, now: int) -> Cutout:
        return replace(self, size=max(1, round(self.size * now / was)))

    def check_side(self, side: int) -> None:
        require(
            self.size < side,
            f"Cutout's square of {self.size} px can cover images of {side} px; the maximum is {side - 1} px.",
        )

    def __call__(self, images_NCHW: Tensor, u: Tensor, color: Color = "RGB") -> Tensor:  # noqa: N803
        import torch

        images = images_NCHW
        rows, columns = self._inside(images.shape[2], u[:, 0]), self._inside(images.shape[3], u[:, 1])
        mean = images.float().mean((2, 3), keepdim=True)
        mean = mean if images.is_floating_point() else mean.round()
        return torch.where((rows[:, :, None] & columns[:, None, :])[:, None], mean.to(images.dtype), images)

    def _inside(self, length: int, u: Tensor) -> Tensor:
        """(N, length) which positions of a side of `length` pixels the square covers."""
        import torch

        start = (u * length).long() - self.size // 2
        position = torch.arange(length, device=u.device) - start[:, None]
        return (position >= 0) & (position < self.size)
