"""One pass over a source before it costs a run: what is damaged, its statistics, and its pixels where they fit."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from resnets.cores import usable_cores
from resnets.data.decode_memory import one_image
from resnets.data.pictures import Pixels, open_picture, prepare
from resnets.data.remarks import Remark, remarks
from resnets.data.sources import Source
from resnets.data.views import Normalize
from resnets.errors import DataError
from resnets.preprocessing import Preprocessing, encode_mean_image

RESIDENT_BYTES = 2**30


@dataclass(frozen=True)
class Survey:
    """What a pass over a source found.

    Args:
        damaged: message by picture number.
        pixels: (N, channels, crop, crop) as `prepare` makes them, where asked for and not above `RESIDENT_BYTES`.
        mean_image: (channels, crop, crop) mean of the whole pictures, from 0 to 1, where asked for.
        std: (channels,) over all positions, from 0 to 1, where asked for.
        remarks: how many pictures each one is true of; see `data.remarks`.
    """

    damaged: dict[int, str]
    pixels: Pixels | None
    mean_image: NDArray[np.float32] | None
    std: tuple[float, ...] | None
    remarks: Mapping[Remark, int] = field(default_factory=dict)


def survey(source: Source, preprocessing: Preprocessing, *, keep: bool, statistics: bool) -> Survey:
    """Decodes every picture of `source` once, in threads.

    Args:
        keep: hold the prepared pixels in memory, if they fit.
        statistics: compute mean image and std of the prepared pictures; integer sums, so exact in any order.
    """
    p = preprocessing
    shape = (p.channels, p.crop, p.crop)
    fits = keep and len(source) * p.channels * p.crop**2 <= RESIDENT_BYTES
    pixels = np.zeros((len(source), *shape), np.uint8) if fits else None
    damaged: dict[int, str] = {}
    threads = usable_cores()
    odd: Counter[Remark] = Counter()
    lock = threading.Lock()
    chunks = [range(first, len(source), threads) for first in range(threads)]

    def look(chunk: range) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        total, squares = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for index in chunk:
            try:
                with one_image():
                    encoded = source.encoded(index)
                    if encoded is None:
                        picture = source.picture(index, p.color, p.background)
                    else:
                        name = source.name(index)
                        picture = open_picture(encoded, p.color, background=p.background, name=name)
                        if found := remarks(encoded):
                            with lock:
                                odd.update(found)
                    if not (statistics or fits):
                        continue
                    values = prepare(picture, p, source.name(index))
            except DataError as error:
                damaged[index] = str(error)
                continue
            if pixels is not None:
                pixels[index] = values
            if statistics:
                total += values
                squares += values.astype(np.int64) ** 2
        return total, squares

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(look, chunks))
    mean_image: NDArray[np.float32] | None = None
    std: tuple[float, ...] | None = None
    count = len(source) - len(damaged)
    if statistics and count:
        mean, second = (np.sum([part[i] for part in parts], axis=0) / count / 255 ** (i + 1) for i in (0, 1))
        variance = second.mean((1, 2)) - mean.mean((1, 2)) ** 2
        std = tuple(np.sqrt(np.maximum(variance, 0)).tolist())  # of one flat colour, rounding can leave less than zero
        mean_image = np.asarray(mean, np.float32)
    return Survey(dict(sorted(damaged.items())), pixels, mean_image, std, odd)


def normalized(preprocessing: Preprocessing, how: Normalize, found: Survey) -> Preprocessing:
    """`preprocessing` with the statistics of the training set that `how` asks for; see `Normalize`."""
    if how == "given":
        return preprocessing
    assert found.mean_image is not None
    assert found.std is not None
    if how == "mean image":
        unit = (1.0,) * preprocessing.channels
        return replace(preprocessing, mean_image=encode_mean_image(found.mean_image), std=unit)
    mean = tuple(found.mean_image.mean((1, 2), dtype=np.float64).tolist())
    return replace(preprocessing, mean=mean, std=tuple(max(s, 1e-6) for s in found.std), mean_image=None)
