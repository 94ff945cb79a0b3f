"""Which samples each step trains on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from resnets.core import rng


@dataclass(frozen=True)
class EpochSampler:
    """One random permutation of all samples after another, an epoch each, cut into batches.

    A batch may begin in one epoch and end in the next, so every batch is full, and each epoch visits each sample
    exactly once. The samples of a step are a pure function of (seed, step).

    With repeated augmentation, an epoch has the first samples of its permutation alone, each `copies` times in a row,
    and is as long (Hoffer et al. 2020, 1901.09335; Berman et al. 2019, 1902.05509, section 3). Adjacent ones go to
    different ghost batches, as the samplers of DeiT, timm and torchvision send them to different processes.

    Args:
        samples: size of the training set.
        batch: samples a step, over all ranks.
        copies: of each sample of an epoch.
        ghost_batches: of a batch; copies are spread over them.
        balance: draws as many samples of each class in place of each sample once; None for that.
    """

    samples: int
    batch: int
    seed: int
    copies: int = 1
    ghost_batches: int = 1
    balance: ClassBalance | None = None

    def ids(self, step: int) -> NDArray[np.int64]:
        """(batch,) sample numbers of `step` (from 0)."""
        positions, epochs = self._positions(step), self.epochs(step)
        ids = np.empty(self.batch, np.int64)
        for epoch in np.unique(epochs):
            chosen = epochs == epoch
            places = positions[chosen] % self.samples // self.copies
            ids[chosen] = self._order(int(epoch))[places]
        return ids

    def epochs(self, step: int) -> NDArray[np.int64]:
        """(batch,) the epoch, from 0, that each sample of `step` belongs to."""
        return self._positions(step) // self.samples

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """(samples,) what an epoch shows, in its order."""
        if self.balance is not None:
            return _balanced(self.balance, self.seed, epoch)
        return _permutation(self.seed, epoch, self.samples)

    def _positions(self, step: int) -> NDArray[np.int64]:
        positions = np.arange(step * self.batch, (step + 1) * self.batch)
        return positions if self.copies == 1 else positions.reshape(-1, self.ghost_batches).T.reshape(-1)


@dataclass(frozen=True, eq=False)
class ClassBalance:
    """Draws as many samples of each class, so that each sample weighs inversely to the frequency of its class.

    An epoch of N draws over K classes has N / K of each, rounded up for some that are drawn anew in each epoch. Within
    a class each sample comes once before one comes twice: those of a rare class come several times in an epoch, and
    of a frequent one a part of them. In expectation that is torch's `WeightedRandomSampler` with the weights 1 / n_c,
    at a smaller variance.

    Args:
        labels: (N,) int64, the class of each sample. Classes without a sample are none.
    """

    labels: NDArray[np.int64]

    @cached_property
    def by_class(self) -> list[NDArray[np.int64]]:
        """For each class the numbers of its samples, rising."""
        order = np.argsort(self.labels, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(self.labels[order])) + 1)

    def order(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """(N,) the samples of an epoch."""
        count = len(self.labels)
        own = np.full(len(self.by_class), count // len(self.by_class))
        own[generator.permutation(len(own))[: count % len(own)]] += 1
        drawn = [
            np.concatenate([generator.permutation(samples) for _ in range(-(-draws // len(samples)))])[:draws]
            for samples, draws in zip(self.by_class, own.tolist(), strict=True)
            if draws
        ]
        return generator.permutation(np.concatenate(drawn))


@lru_cache(maxsize=2)
def _balanced(balance: ClassBalance, seed: int, epoch: int) -> NDArray[np.int64]:
    return balance.order(rng.generator(seed, "balance", epoch))


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, samples: int) -> NDArray[np.int64]:
    # The text "shuffle" is part of the data format: another one gives other batches.
    return rng.generator(seed, "shuffle", epoch).permutation(samples)


def evenly_spaced(count: int, most: int) -> NDArray[np.int64]:
    """Up to `most` of the numbers below `count`, evenly spaced and rising, the first and the last among them."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(np.int64)
