"""Random conversion to grey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from resnets.core.typed import checked
from resnets.modalities.image.preprocessing import Color
from resnets.modalities.image.transforms.base import BatchTransform, require
from resnets.modalities.image.transforms.color_jitter import luma

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
@checked
class Grayscale(BatchTransform):
    """Random conversion to grey, with as many channels as before, as torchvision's `RandomGrayscale`.

    Args:
        p: probability for each image.
    """

    p: float = 0.1

    numbers: ClassVar[int] = 1

    def __post_init__(self) -> None:
        require(0 <= self.p <= 1, f"p must be in [0, 1], not {self.p:g}.")

    def __call__(self, images_NCHW: Tensor, u: Tensor, color: Color = "RGB") -> Tensor:  # noqa: N803
        import torch

        from resnets.modalities.image.transforms.normalize import as_float

        images = as_float(images_NCHW)
        grey = luma(images.flip(1) if color == "BGR" else images)
        return torch.where((u[:, 0] < self.p)[:, None, None, None], grey, images)
