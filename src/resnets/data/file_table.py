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
from resnets.modalities.base import Dataset, OnDisk, Subset
from resnets.modalities.file_names import Names
from resnets.modalities.image.read import headers
from resnets.modalities.image.read.headers import WHOLE

_OWN_PROCESS = 5000  # files; fewer are read here, in less time than a process takes to start
_MOST_AT_ONCE = 50_000
_THREADS = 16

Records = NDArray[np.void]


@dataclass(frozen=True)
class Files:
    """The files of a dataset, one a sample.

    Args:
        on_disk: all files of the folder that they are in.
        indices: (N,) their numbers there, in the order of the dataset.
        records: (N,) of `scan_cache.RECORD`.
    """

    on_disk: OnDisk
    indices: NDArray[np.int64]
    records: Records

    def path(self, number: int) -> str:
        """The path of the file of sample `number`."""
        return str(self.on_disk.path(int(self.indices[number])))


class FileTables:
    """The tables of the folders of one dataset, each read on first use."""

    def __init__(self) -> None:
        self._tables: dict[int, _Table] = {}

    def of(self, dataset: Dataset) -> tuple[Files, ...]:
        """The files of `dataset`: of its samples, then of their targets; empty where its samples are no files."""
        found = []
        on_disk, indices = folder_of(dataset)
        for place, files in enumerate(on_disk):
            key = id(files.names)
            if key not in self._tables:
                self._tables[key] = _Table(files, _key(files, place))
            found.append(Files(files, indices, self._tables[key].records[indices]))
        return tuple(found)

    def settle(self, dataset: Dataset, numbers: NDArray[np.int64], remarks: Mapping[int, int]) -> None:
        """Records that the samples `numbers` of `dataset` can be read, so that the next scan need not read them.

        Args:
            remarks: bits by sample number, see `Input.remarks`; others have none.
        """
        on_disk, indices = folder_of(dataset)
        if not on_disk or not len(numbers):
            return
        table = self._tables[id(on_disk[0].names)]
        records = table.records
        where = indices[numbers]
        bits = np.fromiter((remarks.get(int(number), 0) for number in numbers), np.uint8, len(numbers))
        new = (records["size"][where] >= 0) & (
            (records["verdict"][where] != WHOLE) | (records["remarks"][where] != bits)
        )
        records["verdict"][where[new]], records["remarks"][where[new]] = WHOLE, bits[new]
        table.changed |= bool(new.any())

    def save(self) -> None:
        """Writes what was read to the cache, for the next run."""
        for table in self._tables.values():
            if table.changed:
                scan_cache.save(table.key, table.files.names, table.records)


class _Table:
    """The records of a folder's files, from the cache as far as they are unchanged.

    Args:
        key: the cache's.
    """

    def __init__(self, files: OnDisk, key: str) -> None:
        self.files = files
        self.key = key
        self.changed = True  # whether it holds more than the cache
        cached = scan_cache.load(key, files.names)
        if cached is None:
            self.records = read_records(files, np.arange(len(files.names)))
            return
        stale = np.flatnonzero(~_unchanged(files, cached))
        if len(stale):
            cached[stale] = read_records(files, stale)
        self.records, self.changed = cached, bool(len(stale))


def folder_of(dataset: Dataset) -> tuple[tuple[OnDisk, ...], NDArray[np.int64]]:
    """The files of the whole dataset that `dataset` is of, and (N,) the numbers of its samples there."""
    if isinstance(dataset, Subset):
        on_disk, indices = folder_of(dataset.dataset)
        return on_disk, indices[dataset.indices]
    return dataset.on_disk, np.arange(len(dataset))


def read_records(files: OnDisk, indices: NDArray[np.int64]) -> Records:
    """(N,) records of the files numbered `indices`, from the files themselves."""
    root = os.fsencode(files.root)
    if len(indices) < _OWN_PROCESS:
        data = headers.examine_all(root, files.names[indices], _THREADS)
        return np.frombuffer(data, RECORD).copy()
    cores = usable_cores()
    parts = np.array_split(indices, cores * -(-len(indices) // (cores * _MOST_AT_ONCE)))
    with ThreadPoolExecutor(cores) as pool:
        return np.concatenate(list(pool.map(lambda part: _in_a_process(root, files.names, part), parts)))


def _in_a_process(root: bytes, names: Names, indices: NDArray[np.int64]) -> Records:
    request = b"\0".join([root, *(names[int(i)] for i in indices)])
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
        answer = headers.examine_all(root, names[indices])
    return np.frombuffer(answer, RECORD)


def _key(files: OnDisk, place: int) -> str:
    """The cache's key: files of targets may lie in the folder of the samples."""
    return os.path.abspath(files.root) + (f"\0{place}" if place else "")


def _unchanged(files: OnDisk, records: Records) -> NDArray[np.bool_]:
    """(N,) whether each file has the size and the modification time of its record."""
    root = os.fsencode(files.root) + b"/"
    now = np.zeros((len(files.names), 2), np.int64)
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(_stat_into(root, files.names, now), range(0, len(files.names), _PART)))
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
