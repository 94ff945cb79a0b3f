"""Random horizontal flips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from resnets.core.renamed import renamed_fields
from resnets.core.typed import checked
from resnets.modalities.image.preprocessing import Color
from resnets.modalities.image.transforms.base import BatchTransform, require
from resnets.modalities.rng import BatchRNG

if TYPE_CHECKING:
    from torch import Tensor


@renamed_fields
@dataclass(frozen=True, kw_only=True)
@checked
class Flip(BatchTransform):
    """A random horizontal flip.

    Args:
        p: probability for each image in each epoch.
        alternating: `p` decides in the first epoch only; from then on every image is flipped in every other epoch,
            so that two epochs show both (Jordan 2024, 2404.00498, section 3.6).
    """

    p: float = 0.5
    alternating: bool = False

    numbers: ClassVar[int] = 1

    def __post_init__(self) -> None:
        require(not self.alternating or self.p == 0.5, "an alternating flip has p=0.5.")
        require(0 <= self.p <= 1, f"p must be in [0, 1], not {self.p}.")

    def draw(self, rng: BatchRNG, purpose: str) -> Tensor:
        return rng.alternating(purpose) if self.alternating else super().draw(rng, purpose)

    def __call__(self, images_NCHW: Tensor, u: Tensor, color: Color = "RGB") -> Tensor:  # noqa: N803
        import torch

        return torch.where(self.flipped(u)[:, None, None, None], images_NCHW.flip(-1), images_NCHW)

    def flipped(self, u: Tensor) -> Tensor:
        """(N,) whether each image is flipped."""
        return u[:, 0] < self.p
