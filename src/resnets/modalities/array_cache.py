"""Arrays that are slow to find, kept in the user's cache folder.

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
from resnets.modalities.cache import cache_folder

SWITCH = "RESNETS_SCAN_CACHE"


def load_arrays(folder: str, key: str) -> dict[str, NDArray[Any]] | None:
    """The arrays that were saved under `key` in a folder of the cache; None where they are missing or damaged."""
    if (path := _path(folder, key)) is None:
        return None
    try:
        data = path.read_bytes()
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            return None
        with np.load(io.BytesIO(data[32:]), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, KeyError, EOFError):
        return None


def save_arrays(folder: str, key: str, arrays: dict[str, NDArray[Any]], *, most: int | None = None) -> None:
    """Saves arrays under `key` in a folder of the cache, where that can be written.

    Args:
        most: files that the folder keeps; the least recently written go.
    """
    if (path := _path(folder, key)) is None:
        return
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    content = buffer.getbuffer()
    with contextlib.suppress(FileError, OSError):
        write_bytes(path, hashlib.sha256(content).digest() + content)
        if most is not None:
            kept = sorted(path.parent.glob("*.npz"), key=lambda each: each.stat().st_mtime_ns)
            for old in kept[:-most]:
                old.unlink(missing_ok=True)


def _path(folder: str, key: str) -> Path | None:
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "no", "false"):
        return None
    name = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:32]
    try:
        return cache_folder() / folder / f"{name}.npz"
    except RuntimeError:  # this user has no home folder
        return None
