"""Mixup."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from resnets.core.typed import checked
from resnets.modalities.image.transforms.base import MixTransform

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
@checked
class Mixup(MixTransform):
    """Two images blended, and their labels (Zhang et al. 2018, 1710.09412), with lam drawn from Beta(alpha, alpha)."""

    alpha: float = 0.2

    numbers: ClassVar[int] = 0

    def __call__(
        self, images_NCHW: Tensor, partners: Tensor, lam: Tensor, u: Tensor  # noqa: N803
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        import torch

        weight = lam[:, None, None, None].to(images_NCHW.dtype)
        return torch.lerp(images_NCHW[partners], images_NCHW, weight), lam
