"""The cache of scans (`modalities.array_cache`): one file for each folder of images, one for each set of statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.modalities import array_cache
from resnets.modalities.array_cache import SWITCH as SWITCH
from resnets.modalities.file_names import Names

CACHED_FROM = 2000  # files; fewer are read fast enough
KEPT = 32  # files in the cache; the least recently written go
# As `headers.RECORD`.
RECORD = np.dtype([("size", "<i8"), ("mtime", "<i8"), ("digest", "V16"), ("verdict", "u1"), ("remarks", "u1")])
_FORMAT = 1


def load(key: str, names: Names) -> NDArray[np.void] | None:
    """(N,) records of the files `names` of the folder `key`; files that are not in the cache have size -1.

    None where the cache has no file for the folder.
    """
    if len(names) < CACHED_FROM or (found := load_arrays("files", key)) is None:
        return None
    try:
        known = Names(found["names"].tobytes(), found["offsets"])
        records = found["records"].astype(RECORD, casting="no")
    except (KeyError, TypeError, ValueError):
        return None
    if len(known) != len(records):
        return None
    if known == names:
        return records
    places = {name: number for number, name in enumerate(known)}
    which = np.fromiter((places.get(name, -1) for name in names), np.int64, len(names))
    fitting = np.zeros(len(names), RECORD)
    fitting["size"] = -1
    fitting[which >= 0] = records[which[which >= 0]]
    return fitting


def save(key: str, names: Names, records: NDArray[np.void]) -> None:
    """Saves the records of the files `names` of the folder `key`."""
    if len(names) >= CACHED_FROM:
        arrays: dict[str, NDArray[Any]] = {
            "names": np.frombuffer(names.buffer, np.uint8),
            "offsets": names.offsets,
            "records": records,
        }
        save_arrays("files", key, arrays)


def load_arrays(kind: str, key: str) -> dict[str, NDArray[Any]] | None:
    """The arrays that were saved under `kind` and `key`; None where they are missing or damaged."""
    return array_cache.load_arrays("scans", f"{_FORMAT} {kind} {key}")


def save_arrays(kind: str, key: str, arrays: dict[str, NDArray[Any]]) -> None:
    """Saves arrays under `kind` and `key`, where the cache can be written."""
    array_cache.save_arrays("scans", f"{_FORMAT} {kind} {key}", arrays, most=KEPT)
