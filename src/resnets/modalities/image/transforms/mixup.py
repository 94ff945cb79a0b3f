"""Mixup."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from resnets.core.config import OMITTED_BY_DEFAULT
from resnets.core.typed import checked
from resnets.modalities.image.transforms.base import MixTransform

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
@checked
class Mixup(MixTransform):
    """Two images blended, and their labels (Zhang et al. 2018, 1710.09412), with lam drawn from Beta(alpha, alpha).

    Args:
        per: whether each sample has a lam of its own, or all of a batch the same, as in timm and torchvision.
    """

    alpha: float = 0.2
    per: Literal["sample", "batch"] = field(default="sample", metadata=OMITTED_BY_DEFAULT)

    numbers: ClassVar[int] = 0

    def __call__(
        self, images_NCHW: Tensor, partners: Tensor, lam: Tensor, u: Tensor  # noqa: N803
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        import torch

        weight = lam[:, None, None, None].to(images_NCHW.dtype)
        return torch.lerp(images_NCHW[partners], images_NCHW, weight), lam
