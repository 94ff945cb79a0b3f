"""Which samples each step trains on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from resnets.core import rng


@dataclass(frozen=True)
class EpochSampler:
    """One random permutation of all samples after another, an epoch each, cut into batches.

    A batch may begin in one epoch and end in the next, so every batch is full, and each epoch visits each sample
    exactly once. The samples of a step are a pure function of (seed, step).

    With repeated augmentation, an epoch has the first samples of its permutation alone, each `copies` times in a row,
    and is as long (Hoffer et al. 2020, 1901.09335; Berman et al. 2019, 1902.05509, section 3). Neighbours go to
    different ghost batches, as the samplers of DeiT, timm and torchvision send them to different processes.

    Args:
        samples: size of the training set.
        batch: samples a step, over all ranks.
        copies: of each sample of an epoch.
        ghost_batches: of a batch; copies are spread over them.
    """

    samples: int
    batch: int
    seed: int
    copies: int = 1
    ghost_batches: int = 1

    def ids(self, step: int) -> NDArray[np.int64]:
        """(batch,) sample numbers of `step` (from 0)."""
        positions, epochs = self._positions(step), self.epochs(step)
        ids = np.empty(self.batch, np.int64)
        for epoch in np.unique(epochs):
            chosen = epochs == epoch
            places = positions[chosen] % self.samples // self.copies
            ids[chosen] = _permutation(self.seed, int(epoch), self.samples)[places]
        return ids

    def epochs(self, step: int) -> NDArray[np.int64]:
        """(batch,) the epoch, from 0, that each sample of `step` belongs to."""
        return self._positions(step) // self.samples

    def _positions(self, step: int) -> NDArray[np.int64]:
        positions = np.arange(step * self.batch, (step + 1) * self.batch)
        return positions if self.copies == 1 else positions.reshape(-1, self.ghost_batches).T.reshape(-1)


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, samples: int) -> NDArray[np.int64]:
    # The text "shuffle" is part of the data format: another one gives other batches.
    return rng.generator(seed, "shuffle", epoch).permutation(samples)


def evenly_spaced(count: int, most: int) -> NDArray[np.int64]:
    """Up to `most` of the numbers below `count`, evenly spaced and rising, the first and the last among them."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(np.int64)
