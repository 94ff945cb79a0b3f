"""CutMix."""

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
class CutMix(MixTransform):
    """A rectangle of another image pasted in (Yun et al. 2019, 1905.04899): it leaves a fraction lam of the image
    itself, drawn from Beta(alpha, alpha).

    Args:
        per: whether each sample has a rectangle of its own, or all of a batch the same, as in timm and torchvision.
    """

    alpha: float = 1.0
    per: Literal["sample", "batch"] = field(default="sample", metadata=OMITTED_BY_DEFAULT)

    numbers: ClassVar[int] = 2  # row and column of the rectangle's centre

    def __call__(
        self, images_NCHW: Tensor, partners: Tensor, lam: Tensor, u: Tensor  # noqa: N803
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        import torch

        height, width = images_NCHW.shape[2:]
        side = torch.sqrt(1 - lam)
        rows, row_fraction = _interval(height, side, u[:, 0])
        columns, column_fraction = _interval(width, side, u[:, 1])
        inside = rows[:, None, :, None] & columns[:, None, None, :]
        return torch.where(inside, images_NCHW[partners], images_NCHW), 1 - row_fraction * column_fraction


def _interval(length: int, side: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """(N, length) the positions within `side` * `length` pixels about a centre, cut at the edges; (N,) their fraction.

    Args:
        u: (N,) uniform numbers that place the centre.
    """
    import torch

    center, half = torch.floor(u * length), torch.floor(side * length / 2)
    position = torch.arange(length, device=u.device)
    inside = (position >= (center - half)[:, None]) & (position < (center + half)[:, None])
    return inside, inside.float().mean(1)
