"""Batches of samples, and what they are made of: what readers give, and training and evaluation take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor


RESERVED = frozenset({"ids", "inputs", "weights", "keys", "lam"})  # names in a batch that are no targets


@dataclass(frozen=True)
class Batch:
    """Samples, with the first dimension or place of everything counting them.

    Args:
        dense: tensors (N, ...) by name. "inputs" is what the network gets; targets have their own names; "ids" (N,)
            are the numbers of the samples in their dataset; "weights" (N,) are 0 for samples that do not count, where
            there are any; "keys" (N,) int64 are for random choices that the network makes itself. Of mixed samples,
            "lam" (N,) is the weight of a sample's own targets, and "partner_labels" has those of the other.
        ragged: by name, a tensor for each sample, of any shape. Of images with boxes, "boxes" (n, 4), "labels" (n,),
            "crowds", "difficult" and "areas", and "masks" (n, height, width) where objects have them; "regions" (N, 4)
            is dense, and says which part of each input shows the image.
    """

    dense: dict[str, Tensor]
    ragged: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Tensor:
        return self.dense[name]

    def __contains__(self, name: object) -> bool:
        return name in self.dense

    def __len__(self) -> int:
        first = next(iter(self.dense.values()), None)
        return len(next(iter(self.ragged.values()), ())) if first is None else len(first)

    def __or__(self, more: Mapping[str, Tensor]) -> Batch:
        """The batch with the dense tensors `more` added or replaced."""
        return Batch({**self.dense, **more}, self.ragged)

    def targets(self) -> dict[str, Tensor]:
        """The dense targets by name."""
        return {name: values for name, values in self.dense.items() if name not in RESERVED}

    def rows(self, rows: slice) -> Batch:
        """Some of the samples."""
        return Batch(
            {name: values[rows] for name, values in self.dense.items()},
            {name: values[rows] for name, values in self.ragged.items()},
        )

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`."""
        return Batch(
            {name: values.to(device) for name, values in self.dense.items()},
            {name: tuple(each.to(device) for each in values) for name, values in self.ragged.items()},
        )


@dataclass(frozen=True)
class Slot:
    """The place of one sample in a batch array: its shape without the batch's dimension, and its kind of number."""

    shape: tuple[int, ...]
    dtype: DTypeLike


@dataclass(frozen=True)
class Draws:
    """The random numbers with which the samples of a step are read.

    Args:
        u: (batch, numbers) uniform numbers in [0, 1) for the rows of the global batch.
        rows: (rows, ...) further numbers for the rows that are made here, for `Reader.write`; None where there are
            none.
    """

    u: NDArray[np.float32]
    rows: NDArray[Any] | None = None


@dataclass(frozen=True)
class Loaded:
    """A sample as evaluation gives it to a network.

    Args:
        inputs: for each crop of test-time augmentation, (channels, ...) as `Reader.normalize` takes it.
        weights: of each crop in the mean of their outputs; they need not sum to 1.
        mirrored: whether each crop was mirrored left to right.
        size: height and width of the original, where the outputs are scored at that size.
        regions: left, top, right and bottom of the part of each crop that shows the image, where it need not be all.
    """

    inputs: Sequence[NDArray[Any]]
    weights: Sequence[int] = (1,)
    mirrored: Sequence[bool] = (False,)
    size: tuple[int, int] | None = None
    regions: Sequence[tuple[int, int, int, int]] = ()
