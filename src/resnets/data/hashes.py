"""Hashes of names, by which samples are divided: a name has the same one wherever and beside whatever it is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from resnets.modalities.base import Dataset


def hashes_of(names: Dataset | Sequence[bytes], place: int = 0) -> NDArray[np.uint64]:
    """(N,) eight bytes (big-endian) of SHA-256 over each name, or over `Dataset.key` of each sample.

    Args:
        place: of the first of these bytes in the hash: two that are eight or more apart are independent.
    """
    keys = names if isinstance(names, Sequence) else (names.key(index) for index in range(len(names)))
    return np.fromiter((_hash(key, place) for key in keys), np.uint64, len(names))


def _hash(name: bytes, place: int) -> int:
    return int.from_bytes(hashlib.sha256(name).digest()[place : place + 8], "big")
