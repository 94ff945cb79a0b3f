"""Splits that hold out the same fraction of each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stratified_split(
    labels: NDArray[np.int64], held_out: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (kept, held out), each rising, with `held_out` samples shared among the classes by size.

    Each class gives its exact quota rounded down; those with the largest remainders (ties: the lower label) give
    one more until there are `held_out`.
    """
    classes, counts = np.unique(labels, return_counts=True)
    quota, remainders = np.divmod(counts * held_out, len(labels))
    largest = np.argsort(-remainders, kind="stable")
    quota[largest[: held_out - quota.sum()]] += 1
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:number]
        for label, number in zip(classes, quota, strict=True)
    ]
    out = np.sort(np.concatenate(chosen)).astype(np.int64)
    return np.setdiff1d(np.arange(len(labels)), out), out
