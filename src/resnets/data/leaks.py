"""Samples of one split that are samples of another as well."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resnets.data.file_table import Files, FileTables
from resnets.modalities.base import Dataset


def shared_files(train: Dataset, other: Dataset, tables: FileTables) -> list[int]:
    """The numbers of the samples of `other` whose file has the size and the first and last 4 KiB of one of `train`.

    Nothing is read that `tables` has. `resnets check` compares what the files decode to. Empty where samples are no
    files.
    """
    mine, theirs = tables.of(train), tables.of(other)
    if not mine or not theirs:
        return []
    return np.flatnonzero(np.isin(_keys(theirs[0]), _keys(mine[0]))).tolist()


def _keys(files: Files) -> NDArray[np.int64]:
    """(N,) a hash of each file; those that cannot be read have numbers of their own."""
    records = files.records
    digests = np.frombuffer(np.ascontiguousarray(records["digest"]).tobytes(), "<i8").reshape(len(records), 2)
    return np.where(records["size"] < 0, -1 - files.indices, digests[:, 0] ^ records["size"])
