"""The scan before training: damaged images, statistics, and the pixels where they fit in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from resnets.core.config import encode
from resnets.core.errors import DataError
from resnets.core.workers import usable_cores
from resnets.data import scan_cache
from resnets.data.file_table import FileTables
from resnets.data.fingerprint import contents_sha256
from resnets.modalities.base import Dataset
from resnets.modalities.image.preprocessing import Preprocessing, encode_mean_image
from resnets.modalities.image.read.decode_memory import one_image
from resnets.modalities.image.read.headers import WHOLE
from resnets.modalities.image.read.pillow import Pixels, open_image
from resnets.modalities.image.remarks import REMARKS, Remark, remarks
from resnets.modalities.image.transforms import Normalize
from resnets.modalities.image.transforms.resize import prepare

RESIDENT_BYTES = 2**30


@dataclass(frozen=True)
class DatasetScan:
    """What a scan of a dataset found.

    Args:
        damaged: message by image number.
        pixels: (N, channels, crop, crop) as `prepare` makes them, where requested and not above `RESIDENT_BYTES`.
        mean_image: (channels, crop, crop) mean of the whole images, from 0 to 1, where requested.
        std: (channels,) over all positions, from 0 to 1, where requested.
        remarks: number of images by remark; see `modalities.image.remarks`.
    """

    damaged: dict[int, str]
    pixels: Pixels | None = None
    mean_image: NDArray[np.float32] | None = None
    std: tuple[float, ...] | None = None
    remarks: Mapping[Remark, int] = field(default_factory=dict)


def scan(
    dataset: Dataset,
    preprocessing: Preprocessing,
    *,
    keep: bool,
    statistics: bool,
    tables: FileTables | None = None,
    decode: bool = False,
) -> DatasetScan:
    """Finds the damaged images of `dataset`, by header and end marker if nothing else is requested, else by decoding.

    An image whose header is not conclusive is decoded, so only what a decoder refuses is damaged. Damage in the middle
    of a file that seems complete is found when it is decoded.

    Args:
        keep: decode the images and hold the prepared pixels in memory, if they fit.
        statistics: compute mean image and std of the prepared images; integer sums, so exact in any order. They are
            cached, as the images are decoded for them.
        tables: those of the dataset's files; new ones by default.
        decode: decode every image in any case.
    """
    tables = tables or FileTables()
    files = tables.of(dataset)
    numbers = np.arange(len(dataset))
    fits = keep and fits_in_memory(len(dataset), preprocessing)
    if decode or fits:
        found, odd = _decode(dataset, numbers, preprocessing, prepared=fits, keep=fits, sums=statistics)
    elif statistics:
        found, odd, numbers = _cached_statistics(dataset, preprocessing, tables)
    else:
        numbers = np.flatnonzero(files.records["verdict"] != WHOLE) if files else numbers[:0]
        found, odd = _decode(dataset, numbers, preprocessing, prepared=False)
    if files is None:
        return found
    tables.settle(dataset, np.setdiff1d(numbers, np.fromiter(found.damaged, np.int64)), odd)
    settled = tables.of(dataset)
    assert settled is not None
    noted = np.delete(settled.records["remarks"], list(found.damaged))
    counts = {remark: int((noted >> place & 1).sum()) for place, remark in enumerate(REMARKS)}
    return replace(found, remarks={remark: count for remark, count in counts.items() if count})


def resident_pixels(dataset: Dataset, preprocessing: Preprocessing) -> DatasetScan:
    """Decodes every image of `dataset` into memory, if they fit; else decodes none."""
    if not fits_in_memory(len(dataset), preprocessing):
        return DatasetScan({})
    return _decode(dataset, np.arange(len(dataset)), preprocessing, prepared=True, keep=True)[0]


def fits_in_memory(count: int, preprocessing: Preprocessing) -> bool:
    """Whether the prepared pixels of `count` images take no more than `RESIDENT_BYTES`."""
    return count * preprocessing.channels * preprocessing.crop**2 <= RESIDENT_BYTES


def _decode(
    dataset: Dataset,
    numbers: NDArray[np.int64],
    preprocessing: Preprocessing,
    *,
    prepared: bool,
    keep: bool = False,
    sums: bool = False,
) -> tuple[DatasetScan, dict[int, int]]:
    """Decodes images on all cores; also returns the bits of `REMARKS` by image, where there are any.

    Args:
        prepared: also resize and crop them, which refuses those that are too narrow.
    """
    p = preprocessing
    shape = (p.channels, p.crop, p.crop)
    pixels = np.zeros((len(dataset), *shape), np.uint8) if keep else None
    damaged: dict[int, str] = {}
    odd: dict[int, int] = {}

    def work(part: Iterable[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        total, squares = np.zeros((2, *(shape if sums else (0,))), np.int64)
        for index in part:
            try:
                with one_image():
                    name, encoded = dataset.name(index), dataset.encoded(index)
                    if encoded is None:
                        image = dataset.image(index, p.color, p.background)
                    else:
                        image = open_image(encoded, p.color, background=p.background, name=name)
                        if found := remarks(encoded):
                            odd[index] = sum(1 << REMARKS.index(each) for each in found)
                    if not (prepared or sums):
                        continue
                    values = prepare(image, p, name)
            except DataError as error:
                damaged[index] = str(error)
                continue
            if pixels is not None:
                pixels[index] = values
            if sums:
                total += values
                squares += values.astype(np.int64) ** 2
        return total, squares

    threads = usable_cores()
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(work, (numbers[first::threads].tolist() for first in range(threads))))
    found = DatasetScan(dict(sorted(damaged.items())), pixels)
    count = len(numbers) - len(damaged)
    if not (sums and count):
        return found, odd
    mean, second = (np.sum([part[i] for part in parts], axis=0) / count / 255 ** (i + 1) for i in (0, 1))
    variance = second.mean((1, 2)) - mean.mean((1, 2)) ** 2
    std = tuple(np.sqrt(np.maximum(variance, 0)).tolist())  # of one flat colour, rounding can leave less than zero
    return replace(found, mean_image=np.asarray(mean, np.float32), std=std), odd


def _cached_statistics(
    dataset: Dataset, preprocessing: Preprocessing, tables: FileTables
) -> tuple[DatasetScan, dict[int, int], NDArray[np.int64]]:
    """Mean image, std and damaged images, from the cache or by decoding every image.

    Also returns the bits of `REMARKS` by image, and the numbers of the images that had to be decoded.
    """
    p = replace(preprocessing, mean=(0.0,) * preprocessing.channels, std=(1.0,) * preprocessing.channels,
                mean_image=None)  # fmt: skip
    key = json.dumps([contents_sha256(dataset, tables, strict=False), encode(p), PIL.__version__], sort_keys=True)
    if (kept := _load_statistics(dataset, p, key)) is not None:
        files = tables.of(dataset)
        doubtful = np.flatnonzero(files.records["verdict"] != WHOLE) if files else np.arange(0)
        again, odd = _decode(dataset, doubtful, preprocessing, prepared=True)
        if again.damaged.keys() <= kept.damaged.keys():
            return kept, odd, doubtful
    everything = np.arange(len(dataset))
    found, odd = _decode(dataset, everything, preprocessing, prepared=True, sums=True)
    if found.mean_image is not None and len(dataset) >= scan_cache.CACHED_FROM:
        numbers = np.fromiter(found.damaged, np.int64)
        arrays: dict[str, NDArray[Any]] = {
            "mean_image": found.mean_image,
            "std": np.array(found.std, np.float64),
            "damaged": numbers,
        }
        scan_cache.save_arrays("statistics", key, arrays)
    return found, odd, everything


def _load_statistics(dataset: Dataset, preprocessing: Preprocessing, key: str) -> DatasetScan | None:
    """The statistics that the cache has under `key`, if the images that were damaged still are."""
    kept = scan_cache.load_arrays("statistics", key)
    try:
        if kept is None:
            return None
        mean_image, std, numbers = kept["mean_image"], kept["std"], kept["damaged"]
    except KeyError:
        return None
    if mean_image.dtype != np.float32 or std.dtype != np.float64 or numbers.dtype != np.int64:
        return None
    damaged = _decode(dataset, numbers, preprocessing, prepared=True)[0].damaged
    if sorted(damaged) != sorted(numbers.tolist()):
        return None
    return DatasetScan(damaged, mean_image=mean_image.astype(np.float32), std=tuple(std.tolist()))


def normalized(preprocessing: Preprocessing, how: Normalize, found: DatasetScan) -> Preprocessing:
    """`preprocessing` with the statistics of the training set that `how` names; see `Normalize`."""
    if how == "given":
        return preprocessing
    assert found.mean_image is not None
    assert found.std is not None
    if how == "mean image":
        unit = (1.0,) * preprocessing.channels
        return replace(preprocessing, mean_image=encode_mean_image(found.mean_image), std=unit)
    mean = tuple(found.mean_image.mean((1, 2), dtype=np.float64).tolist())
    return replace(preprocessing, mean=mean, std=tuple(max(s, 1e-6) for s in found.std), mean_image=None)
