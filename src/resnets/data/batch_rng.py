"""The random numbers of a training batch: a pure function of (seed, purpose, step)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnets.core import rng
from resnets.core.devices import to_device
from resnets.data.sampler import EpochSampler


@dataclass(frozen=True)
class StepRNG:
    """The random numbers of the rows of one step; see `resnets.modalities.rng.BatchRNG`.

    Numbers are drawn for the global batch, and the rows that are made here taken from them, so that ranks agree.

    Args:
        rows: the rows of the global batch that are made here; with `partners`, whole ghost batches.
        bn_batch: rows of a ghost batch, within which images are mixed.
    """

    seed: int
    step: int
    sampler: EpochSampler
    rows: slice
    bn_batch: int
    device: torch.device

    @property
    def count(self) -> int:
        return int(self.rows.stop - self.rows.start)

    @property
    def batch(self) -> int:
        return self.sampler.batch

    def generator(self, purpose: str) -> np.random.Generator:
        return rng.generator(self.seed, purpose, self.step)

    def uniforms(self, purpose: str, numbers: int) -> Tensor:
        return self.own_rows(self.generator(purpose).random((self.batch, numbers), np.float32))

    def alternating(self, purpose: str) -> Tensor:
        ids, epochs = self.sampler.ids(self.step)[self.rows], self.sampler.epochs(self.step)[self.rows]
        first = _first_epoch(self.seed, purpose, self.sampler.samples)[ids]
        u = (first + 0.5 * (epochs % 2)) % 1.0
        return to_device(u.astype(np.float32)[:, None], self.device)

    def partner_rows(self, generator: np.random.Generator) -> NDArray[np.int64]:
        size = self.bn_batch
        partners = np.concatenate([first + generator.permutation(size) for first in range(0, self.batch, size)])
        return np.asarray(partners[self.rows] - self.rows.start)

    def partners(self, generator: np.random.Generator) -> Tensor:
        return to_device(self.partner_rows(generator), self.device)

    def own_rows(self, values: NDArray[np.float32]) -> Tensor:
        return to_device(values[self.rows], self.device)


@lru_cache(maxsize=2)
def _first_epoch(seed: int, purpose: str, samples: int) -> NDArray[np.float64]:
    """(samples,) the uniform numbers of the first epoch."""
    return rng.generator(seed, purpose).random(samples)
