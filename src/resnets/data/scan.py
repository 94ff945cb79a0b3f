"""The scan before training: damaged samples, statistics, and the prepared samples where they fit in memory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError
from resnets.core.workers import usable_cores
from resnets.data import scan_cache
from resnets.data.file_table import FileTables
from resnets.data.fingerprint import contents_sha256
from resnets.modalities.base import Dataset, Subset
from resnets.modalities.image.read.headers import WHOLE
from resnets.modalities.reader import Reader

RESIDENT_BYTES = 2**30


@dataclass(frozen=True)
class DatasetScan:
    """What a scan of a dataset found.

    Args:
        damaged: message by sample number.
        prepared: (N, ...) as `Reader.examine` prepares samples, where requested and not above `RESIDENT_BYTES`.
        mean: (...) of the prepared samples, from 0 to 1, where requested.
        std: (channels,) over all positions, from 0 to 1, where requested.
        remarks: the bits of `Input.remarks` by number of samples: how many have each.
    """

    damaged: dict[int, str]
    prepared: NDArray[Any] | None = None
    mean: NDArray[np.float32] | None = None
    std: tuple[float, ...] | None = None
    remarks: Mapping[int, int] = field(default_factory=dict)


def scan(
    dataset: Dataset,
    reader: Reader,
    *,
    keep: bool,
    statistics: bool,
    tables: FileTables | None = None,
    read_all: bool = False,
) -> DatasetScan:
    """Finds the damaged samples of `dataset`, by header and end marker if nothing else is requested, else by reading.

    A file whose header is not conclusive is read, so only what a decoder refuses is damaged. Damage in the middle of a
    file that seems complete is found when it is read.

    Args:
        keep: read the samples and hold them in memory as they are prepared, if they fit.
        statistics: compute mean and std of the prepared samples; integer sums, so exact in any order. They are cached,
            as the samples are read for them.
        tables: those of the dataset's files; new ones by default.
        read_all: read every sample in any case.
    """
    tables = tables or FileTables()
    files = tables.of(dataset)
    numbers = np.arange(len(dataset))
    fits = keep and fits_in_memory(len(dataset), reader)
    if read_all or fits:
        found, odd = _read(dataset, numbers, reader, prepared=fits, keep=fits, sums=statistics)
    elif statistics:
        found, odd, numbers = _cached_statistics(dataset, reader, tables)
    else:
        if reader.by_header:
            numbers = np.flatnonzero(files[0].records["verdict"] != WHOLE) if files else _doubtful(dataset)
        found, odd = _read(dataset, numbers, reader, prepared=False)
    noted = np.zeros(len(dataset), np.uint8)
    noted[list(odd)] = list(odd.values())
    if files and reader.by_header:
        tables.settle(dataset, np.setdiff1d(numbers, np.fromiter(found.damaged, np.int64)), odd)
        noted = np.delete(tables.of(dataset)[0].records["remarks"], list(found.damaged))
    counts = {bit: int((noted >> bit & 1).sum()) for bit in range(8)}
    return replace(found, remarks={bit: count for bit, count in counts.items() if count})


def resident_samples(dataset: Dataset, reader: Reader) -> DatasetScan:
    """Reads every sample of `dataset` into memory, if they fit; else reads none."""
    if not fits_in_memory(len(dataset), reader):
        return DatasetScan({})
    return _read(dataset, np.arange(len(dataset)), reader, prepared=True, keep=True)[0]


def fits_in_memory(count: int, reader: Reader) -> bool:
    """Whether `count` samples may be held in memory as they are prepared, in no more than `RESIDENT_BYTES`."""
    slot = reader.slots(None)["inputs"]
    return count * math.prod(slot.shape) * np.dtype(slot.dtype).itemsize <= RESIDENT_BYTES


def _read(
    dataset: Dataset,
    numbers: NDArray[np.int64],
    reader: Reader,
    *,
    prepared: bool,
    keep: bool = False,
    sums: bool = False,
) -> tuple[DatasetScan, dict[int, int]]:
    """Reads samples on all cores; also returns the bits of `Input.remarks` by sample, where there are any.

    Args:
        prepared: also prepare them, which refuses those that are too narrow.
    """
    slot = reader.slots(None)["inputs"]
    shape = slot.shape
    kept = np.zeros((len(dataset), *shape), slot.dtype) if keep else None
    damaged: dict[int, str] = {}
    odd: dict[int, int] = {}

    def work(part: Iterable[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        total, squares = np.zeros((2, *(shape if sums else (0,))), np.int64)
        for index in part:
            try:
                values, bits = reader.examine(dataset, index, prepared or sums)
            except DataError as error:
                damaged[index] = str(error)
                continue
            if bits:
                odd[index] = bits
            if values is None:
                continue
            if kept is not None:
                kept[index] = values
            if sums:
                total += values
                squares += values.astype(np.int64) ** 2
        return total, squares

    threads = usable_cores()
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(work, (numbers[first::threads].tolist() for first in range(threads))))
    found = DatasetScan(dict(sorted(damaged.items())), kept)
    count = len(numbers) - len(damaged)
    if not (sums and count):
        return found, odd
    mean, second = (np.sum([part[i] for part in parts], axis=0) / count / 255 ** (i + 1) for i in (0, 1))
    places = tuple(range(1, mean.ndim))
    variance = second.mean(places) - mean.mean(places) ** 2
    std = tuple(np.sqrt(np.maximum(variance, 0)).tolist())  # of one flat colour, rounding can leave less than zero
    return replace(found, mean=np.asarray(mean, np.float32), std=std), odd


def _cached_statistics(
    dataset: Dataset, reader: Reader, tables: FileTables
) -> tuple[DatasetScan, dict[int, int], NDArray[np.int64]]:
    """Mean, std and damaged samples, from the cache or by reading every sample.

    Also returns the bits of `Input.remarks` by sample, and the numbers of the samples that had to be read.
    """
    key = json.dumps([contents_sha256(dataset, tables, strict=False), *reader.identity], sort_keys=True)
    if (known := _load_statistics(dataset, reader, key)) is not None:
        files = tables.of(dataset)
        doubtful = np.flatnonzero(files[0].records["verdict"] != WHOLE) if files else np.arange(0)
        again, odd = _read(dataset, doubtful, reader, prepared=True)
        if again.damaged.keys() <= known.damaged.keys():
            return known, odd, doubtful
    everything = np.arange(len(dataset))
    found, odd = _read(dataset, everything, reader, prepared=True, sums=True)
    if found.mean is not None and len(dataset) >= scan_cache.CACHED_FROM:
        numbers = np.fromiter(found.damaged, np.int64)
        arrays: dict[str, NDArray[Any]] = {
            "mean_image": found.mean,
            "std": np.array(found.std, np.float64),
            "damaged": numbers,
        }
        scan_cache.save_arrays("statistics", key, arrays)
    return found, odd, everything


def _doubtful(dataset: Dataset) -> NDArray[np.int64]:
    """The samples that are no files and of which only decoding can say that they are whole, such as those of shards."""
    if isinstance(dataset, Subset):
        return np.flatnonzero(np.isin(dataset.indices, _doubtful(dataset.dataset)))
    return np.flatnonzero(getattr(dataset, "doubtful", ()))


def _load_statistics(dataset: Dataset, reader: Reader, key: str) -> DatasetScan | None:
    """The statistics that the cache has under `key`, if the samples that were damaged still are."""
    cached = scan_cache.load_arrays("statistics", key)
    try:
        if cached is None:
            return None
        mean, std, numbers = cached["mean_image"], cached["std"], cached["damaged"]
    except KeyError:
        return None
    if mean.dtype != np.float32 or std.dtype != np.float64 or numbers.dtype != np.int64:
        return None
    damaged = _read(dataset, numbers, reader, prepared=True)[0].damaged
    if sorted(damaged) != sorted(numbers.tolist()):
        return None
    return DatasetScan(damaged, mean=mean.astype(np.float32), std=tuple(std.tolist()))
