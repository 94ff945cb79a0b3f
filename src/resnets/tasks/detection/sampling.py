"""The sample of boxes that a loss is taken of: some objects and some background, chosen by random numbers.

Of the candidates those with the smallest numbers are taken. The numbers are drawn from the key of the image alone
(`nn.stochastic`), so that micro-batches, ranks and resumed runs choose the same boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from resnets.nn.stochastic import Stochastic, random_bits

_LAST = 2**63 - 1


@dataclass(frozen=True)
class Sample:
    """Some of the boxes of an image. Shapes do not depend on what was found: there are places that are not taken.

    Args:
        objects: (P,) int64 numbers of boxes that stand for objects; `has_object` (P,) which of the places are taken.
        others: (Q,) int64 numbers of boxes of the background; `has_other` (Q,) which of the places are taken.
    """

    objects: Tensor
    has_object: Tensor
    others: Tensor
    has_other: Tensor

    @property
    def indices(self) -> Tensor:
        """The numbers of all boxes that are taken."""
        return torch.cat([self.objects[self.has_object], self.others[self.has_other]])

    @property
    def count(self) -> Tensor:
        """How many are taken, but at least 1."""
        return (self.has_object.sum() + self.has_other.sum()).clamp(min=1)


class Sampler(Stochastic):
    """Takes `count` boxes of each image, of which at most the share `objects` stand for objects (Ren et al. 2015,
    section 3.1.3; Girshick 2015, 1504.08083, section 2.3). It does so in training and evaluation alike."""

    def __init__(self, count: int, objects: float) -> None:
        super().__init__(0.0)
        self.count = count
        self.most_objects = int(count * objects)

    def forward(self, labels: Sequence[Tensor]) -> list[Sample]:
        """A sample of each image.

        Args:
            labels: (A,) of the boxes of each image: above 0 for objects, 0 for the background, below 0 for boxes that
                are not to be taken.
        """
        if not labels:
            return []
        device = labels[0].device
        keys = torch.randint(2**62, (len(labels),), device=device) if self.keys is None else self.keys
        return [
            self._sample(of_image, random_bits(key[None], self.layer, len(of_image))[0])
            for of_image, key in zip(labels, keys, strict=True)
        ]

    def _sample(self, labels: Tensor, order: Tensor) -> Sample:
        objects, has_object = _smallest(order, labels > 0, self.most_objects)
        others, is_background = _smallest(order, labels == 0, self.count)
        places = torch.arange(len(others), device=labels.device)
        return Sample(objects, has_object, others, is_background & (places < self.count - has_object.sum()))

    def extra_repr(self) -> str:
        return f"count={self.count}, most_objects={self.most_objects}"


def _smallest(order: Tensor, candidates: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The numbers of the `count` candidates that come first, (count,), and which places are taken."""
    found = order.where(candidates, _LAST).topk(min(count, len(order)), largest=False)
    return found.indices, found.values < _LAST
