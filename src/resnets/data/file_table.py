"""Size, modification time, hash and verdict of every file of a folder, read once and then kept in the scan's cache.

The table of a folder is read on all cores, in processes of their own, as most of that work holds Python's lock. It is
kept in one file of the user's cache folder; a file whose name, size and modification time are unchanged is not opened
again. (Inode numbers are not compared: they differ between machines and are reused after a copy.)
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnets.core.workers import usable_cores
from resnets.data import scan_cache
from resnets.data.scan_cache import RECORD
from resnets.modalities.base import Dataset, Subset
from resnets.modalities.file_names import Names
from resnets.modalities.image.datasets.folder import FolderDataset
from resnets.modalities.image.read import headers
from resnets.modalities.image.read.headers import WHOLE

_OWN_PROCESS = 5000  # files; fewer are read here, in less time than a process takes to start
_MOST_AT_ONCE = 50_000
_THREADS = 16

Records = NDArray[np.void]


@dataclass(frozen=True)
class Files:
    """The files of a dataset's images.

    Args:
        folder: the folder that they are in.
        indices: (N,) their numbers in `folder`, in the order of the dataset.
        records: (N,) of `scan_cache.RECORD`.
    """

    folder: FolderDataset
    indices: NDArray[np.int64]
    records: Records


class FileTables:
    """The tables of the folders of one dataset, each read on first use."""

    def __init__(self) -> None:
        self._tables: dict[int, tuple[FolderDataset, Records, bool]] = {}

    def of(self, dataset: Dataset) -> Files | None:
        """The files of `dataset`; None where its images are not files."""
        folder, indices = folder_of(dataset)
        if folder is None:
            return None
        if id(folder) not in self._tables:
            records, changed = _read(folder)
            self._tables[id(folder)] = folder, records, changed
        return Files(folder, indices, self._tables[id(folder)][1][indices])

    def settle(self, dataset: Dataset, numbers: NDArray[np.int64], remarks: Mapping[int, int]) -> None:
        """Records that the images `numbers` of `dataset` can be decoded, so that the next scan need not decode them.

        Args:
            remarks: bits by image number, see `remarks.REMARKS`; others have none.
        """
        folder, indices = folder_of(dataset)
        if folder is None or not len(numbers):
            return
        _, records, changed = self._tables[id(folder)]
        where = indices[numbers]
        bits = np.fromiter((remarks.get(int(number), 0) for number in numbers), np.uint8, len(numbers))
        new = (records["size"][where] >= 0) & (
            (records["verdict"][where] != WHOLE) | (records["remarks"][where] != bits)
        )
        records["verdict"][where[new]], records["remarks"][where[new]] = WHOLE, bits[new]
        self._tables[id(folder)] = folder, records, changed or bool(new.any())

    def save(self) -> None:
        """Writes what was read to the cache, for the next run."""
        for folder, records, changed in self._tables.values():
            if changed:
                scan_cache.save(_key(folder), folder.files, records)


def folder_of(dataset: Dataset) -> tuple[FolderDataset | None, NDArray[np.int64]]:
    """The folder that `dataset` reads, and (N,) the numbers of its images there; None where there is no folder."""
    if isinstance(dataset, Subset):
        folder, indices = folder_of(dataset.dataset)
        return folder, indices[dataset.indices]
    return (dataset if isinstance(dataset, FolderDataset) else None), np.arange(len(dataset))


def read_records(folder: FolderDataset, indices: NDArray[np.int64]) -> Records:
    """(N,) records of the files numbered `indices`, from the files themselves."""
    root = os.fsencode(folder.root)
    if len(indices) < _OWN_PROCESS:
        data = headers.examine_all(root, folder.files[indices], _THREADS)
        return np.frombuffer(data, RECORD).copy()
    cores = usable_cores()
    parts = np.array_split(indices, cores * -(-len(indices) // (cores * _MOST_AT_ONCE)))
    with ThreadPoolExecutor(cores) as pool:
        return np.concatenate(list(pool.map(lambda part: _in_a_process(root, folder.files, part), parts)))


def _in_a_process(root: bytes, files: Names, indices: NDArray[np.int64]) -> Records:
    request = b"\0".join([root, *(files[int(i)] for i in indices)])
    path = os.pathsep.join(filter(None, sys.path))  # so that the process finds this package where this one did
    try:
        answer = subprocess.run(
            [sys.executable, "-P", "-m", headers.__name__],
            input=request,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        ).stdout
    except OSError:  # this system starts no processes
        answer = b""
    if len(answer) != len(indices) * RECORD.itemsize:
        answer = headers.examine_all(root, files[indices])
    return np.frombuffer(answer, RECORD)


def _key(folder: FolderDataset) -> str:
    return os.path.abspath(folder.root)


def _read(folder: FolderDataset) -> tuple[Records, bool]:
    """The table of a folder, and whether it holds more than the cache."""
    cached = scan_cache.load(_key(folder), folder.files)
    if cached is None:
        return read_records(folder, np.arange(len(folder))), True
    stale = np.flatnonzero(~_unchanged(folder, cached))
    if len(stale):
        cached[stale] = read_records(folder, stale)
    return cached, bool(len(stale))


def _unchanged(folder: FolderDataset, records: Records) -> NDArray[np.bool_]:
    """(N,) whether each file has the size and the modification time of its record."""
    root = os.fsencode(folder.root) + b"/"
    now = np.zeros((len(folder), 2), np.int64)
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(_stat_into(root, folder.files, now), range(0, len(folder), _PART)))
    same = (records["size"] == now[:, 0]) & (records["mtime"] == now[:, 1])
    return np.asarray(same & (records["size"] >= 0))


_PART = 1024


def _stat_into(root: bytes, files: Names, place: NDArray[np.int64]) -> Callable[[int], None]:
    def work(first: int) -> None:
        for number in range(first, min(first + _PART, len(files))):
            try:
                info = os.stat(root + files[number])
            except OSError:
                place[number] = -2, 0
            else:
                place[number] = info.st_size, info.st_mtime_ns

    return work
