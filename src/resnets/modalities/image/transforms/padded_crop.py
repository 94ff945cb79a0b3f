"""Random crops of padded images, the usual augmentation of CIFAR."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from resnets.core.typed import checked
from resnets.modalities.image.preprocessing import Color
from resnets.modalities.image.transforms.base import BatchTransform, require

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
@checked
class PaddedCrop(BatchTransform):
    """`padding` pixels on each side, then a random crop of the original size (He et al. 2015, section 4.2).

    Args:
        padding: in pixels, 0 to 16384.
        fill: black pixels, or the image reflected at its edge.
    """

    padding: int = 4
    fill: Literal["black", "reflect"] = "black"

    numbers: ClassVar[int] = 2  # row, column

    def __post_init__(self) -> None:
        require(0 <= self.padding <= 16384, f"padding must be from 0 to 16384 pixels, not {self.padding}.")

    def scaled(self, was: int, now: int) -> PaddedCrop:
        return replace(self, padding=max(min(1, self.padding), round(self.padding * now / was)))

    def check_side(self, side: int) -> None:
        require(
            self.fill == "black" or self.padding < side,
            f"A padding of {self.padding} px cannot reflect images of {side} px; the maximum is {side - 1} px.",
        )

    def __call__(self, images_NCHW: Tensor, u: Tensor, color: Color = "RGB") -> Tensor:  # noqa: N803
        import torch
        import torch.nn.functional as F

        count, _, height, width = images_NCHW.shape
        device = images_NCHW.device
        offset = (u * (2 * self.padding + 1)).long()  # 0 to 2 * padding
        sample = torch.arange(count, device=device)[:, None, None]
        rows = offset[:, 0, None, None] + torch.arange(height, device=device)[None, :, None]
        columns = offset[:, 1, None, None] + torch.arange(width, device=device)[None, None, :]
        if self.fill == "reflect":  # by indices alone: F.pad reflects 8-bit images on some devices only
            padded = images_NCHW
            rows, columns = _reflected(rows - self.padding, height), _reflected(columns - self.padding, width)
        else:
            padded = F.pad(images_NCHW, (self.padding,) * 4)
        return padded.permute(0, 2, 3, 1)[sample, rows, columns].permute(0, 3, 1, 2)


def _reflected(positions: Tensor, length: int) -> Tensor:
    """`positions`, those outside 0 to `length` - 1 reflected at the first or last position."""
    return (length - 1) - ((length - 1) - positions.abs() % max(1, 2 * (length - 1))).abs()
