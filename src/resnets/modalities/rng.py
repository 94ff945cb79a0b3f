"""The random numbers that reading a training batch may draw; `data.batch_rng` draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class BatchRNG(Protocol):
    """The random numbers of the rows of one batch; each is a pure function of the seed, a purpose and the step.

    Purposes are part of the data format: another text gives other numbers.
    """

    @property
    def count(self) -> int:
        """Rows of the batch that are made here: all of them, or those of one rank."""
        ...

    @property
    def batch(self) -> int:
        """Rows of the global batch."""
        ...

    def uniforms(self, purpose: str, numbers: int) -> Tensor:
        """(count, numbers) float32 in [0, 1), on the device."""
        ...

    def alternating(self, purpose: str) -> Tensor:
        """(count, 1) float32 in [0, 1), on the device: each in the other half than the same sample's an epoch ago."""
        ...

    def generator(self, purpose: str) -> np.random.Generator:
        """The generator of `purpose` for this step, the same on every rank."""
        ...

    def partner_rows(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """As `partners`, on the host."""
        ...

    def partners(self, generator: np.random.Generator) -> Tensor:
        """(count,) for each row, the row that it is mixed with, a permutation of its ghost batch."""
        ...

    def own_rows(self, values: NDArray[np.float32]) -> Tensor:
        """The rows of `values` (batch, ...) that are made here, on the device."""
        ...
