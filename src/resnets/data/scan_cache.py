"""The cache of scans, in the user's cache folder: one file for each folder of images, one for each set of statistics.

Each file begins with a SHA-256 of the rest and is replaced atomically, so several processes may use the cache at once;
a damaged file counts as absent. A cache that cannot be written is not used. RESNETS_SCAN_CACHE=off turns it off; it is
always safe to delete.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import FileError
from resnets.core.files import write_bytes
from resnets.modalities.catalog import cache_folder
from resnets.modalities.file_names import Names

SWITCH = "RESNETS_SCAN_CACHE"
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
    if (path := _path(kind, key)) is None:
        return None
    try:
        data = path.read_bytes()
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            return None
        with np.load(io.BytesIO(data[32:]), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, KeyError, EOFError):
        return None


def save_arrays(kind: str, key: str, arrays: dict[str, NDArray[Any]]) -> None:
    """Saves arrays under `kind` and `key`, where the cache can be written."""
    if (path := _path(kind, key)) is None:
        return
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    content = buffer.getbuffer()
    with contextlib.suppress(FileError, OSError):
        write_bytes(path, hashlib.sha256(content).digest() + content)
        kept = sorted(path.parent.glob("*.npz"), key=lambda each: each.stat().st_mtime_ns)
        for old in kept[:-KEPT]:
            old.unlink(missing_ok=True)


def _path(kind: str, key: str) -> Path | None:
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "no", "false"):
        return None
    name = hashlib.sha256(f"{_FORMAT} {kind} {key}".encode(errors="surrogateescape")).hexdigest()[:32]
    try:
        return cache_folder() / "scans" / f"{name}.npz"
    except RuntimeError:  # this user has no home folder
        return None
