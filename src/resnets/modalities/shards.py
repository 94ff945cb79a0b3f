"""An index of tar shards: where in which file each sample lies, so that samples are read in any order.

A shard of WebDataset is a tar file, not compressed, in which the files of a sample have one name and different endings,
such as `cat/1.jpg` and `cat/1.cls`. Each shard is read once, from its first header to its last; the index is then kept
in the user's cache folder, and a shard whose size and modification time are unchanged is not read again.
"""

from __future__ import annotations

import contextlib
import os
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.workers import usable_cores
from resnets.modalities.array_cache import load_arrays, save_arrays
from resnets.modalities.faults import Faults, refuse
from resnets.modalities.file_names import Names
from resnets.modalities.listing import IMAGES
from resnets.modalities.shard_scan import LABELS, WHERE, ShardPart, sample_name, scan_shard

_FORMAT = 1
_PROBED = 64  # files of the first shard that say whether it is one


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """The samples of some shards.

    Args:
        shards: the tar files.
        names: (N,) of the images, as the shards have them, such as b"cat/1.jpg".
        labels: (N,) what the label files say.
        where: (N,) of `WHERE`.
    """

    shards: tuple[Path, ...]
    names: Names
    labels: Names
    where: NDArray[np.void]

    def part(self, indices: Sequence[int]) -> ShardIndex:
        """The index of the images `indices` alone."""
        chosen = np.array(indices, np.int64)
        return ShardIndex(self.shards, self.names[chosen], self.labels[chosen], self.where[chosen])

    def path(self, index: int) -> str:
        """What messages call image `index`."""
        return f"{self.shards[self.where[index]['shard']]}/{os.fsdecode(self.names[index])}"

    def read(self, index: int) -> bytes:
        """The bytes of image `index`.

        Raises:
            OSError: the shard cannot be read, or ends before.
        """
        row = self.where[index]
        with open(self.shards[row["shard"]], "rb", buffering=0) as file:
            file.seek(int(row["offset"]))
            data = file.read(int(row["size"]))
        if len(data) < row["size"]:
            raise OSError(f"{self.shards[row['shard']]} ends within {os.fsdecode(self.names[index])}")
        return data


def looks_like_shards(path: Path) -> bool:
    """Whether `path` is a tar file that begins with images and their labels, or a folder with such files."""
    first = next(iter(find_shards(path)), None)
    if first is None:
        return False
    seen: dict[str, set[str]] = {}
    try:
        with tarfile.open(first, "r:") as tar:
            for number, member in enumerate(tar):
                if number == _PROBED:
                    break
                stem, ending = sample_name(member.name)
                seen.setdefault(stem, set()).add(ending)
    except (tarfile.TarError, OSError):
        pass
    return any(endings & IMAGES.endings and endings & set(LABELS) for endings in seen.values())


def find_shards(path: Path) -> tuple[Path, ...]:
    """The tar files in a folder, sorted by name; or `path`, where it is one."""
    if path.is_file():
        return (path,) if path.suffix.lower() == ".tar" else ()
    try:
        with os.scandir(path) as entries:
            names = [entry.name for entry in entries if _is_shard(entry)]
    except OSError:
        return ()
    return tuple(path / name for name in sorted(names))


def open_index(shards: Sequence[Path], faults: Faults | None = None) -> ShardIndex:
    """The index of `shards`, from the cache as far as they are unchanged.

    Args:
        faults: gets what is wrong, in place of an error, and what has a fault is left out; all shards are then read.

    Raises:
        DataError: a shard cannot be read, or has a sample without a label, or two have the same one.
    """
    paths = tuple(Path(os.path.abspath(shard)) for shard in shards)
    known = {} if faults is not None else {shard: part for shard in paths if (part := _load(shard)) is not None}
    missing = [shard for shard in paths if shard not in known]

    def scan(shard: Path) -> tuple[ShardPart, Faults | None]:
        found: Faults | None = None if faults is None else []
        return scan_shard(shard, found), found

    with ThreadPoolExecutor(max(1, min(len(missing), usable_cores()))) as pool:
        for shard, (part, found) in zip(missing, pool.map(scan, missing), strict=True):
            known[shard] = part
            if faults is not None and found:
                faults += found
            else:
                _save(shard, part)
    parts = [known[shard] for shard in paths]
    names, labels = (Names.of(each for part in parts for each in getattr(part, name)) for name in ("names", "labels"))
    where = np.concatenate([part.where for part in parts])
    where["shard"] = np.repeat(np.arange(len(parts)), [len(part.names) for part in parts])
    seen: dict[bytes, int] = {}
    kept: list[int] = []
    for index, name in enumerate(names):
        if (first := seen.setdefault(name, index)) == index:
            kept.append(index)
            continue
        both = " and ".join(str(paths[where[each]["shard"]]) for each in (first, index))
        own = f"{paths[where[index]['shard']]}/{os.fsdecode(name)}"
        message = f"{os.fsdecode(name)} is twice in the shards, in {both}: a sample has a name of its own."
        refuse(faults, "bad_row", own, message)
    whole = ShardIndex(paths, names, labels, where)
    return whole if len(kept) == len(names) else whole.part(kept)


def _is_shard(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(".tar") and not entry.name.startswith(".") and entry.is_file()


def _key(shard: Path) -> str:
    return f"{_FORMAT} {shard}"


def _stamp(shard: Path) -> NDArray[np.int64]:
    info = os.stat(shard)
    return np.array([info.st_size, info.st_mtime_ns], np.int64)


def _load(shard: Path) -> ShardPart | None:
    found = load_arrays("shards", _key(shard))
    if found is None:
        return None
    try:
        if not np.array_equal(found["stamp"], _stamp(shard)):
            return None
        names, labels = (Names(found[f"{n}"].tobytes(), found[f"{n}_offsets"]) for n in ("names", "labels"))
        return ShardPart(names, labels, found["where"].astype(WHERE, casting="no"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _save(shard: Path, part: ShardPart) -> None:
    """Writes an index, where the cache can be written."""
    with contextlib.suppress(OSError):
        arrays: dict[str, NDArray[Any]] = {"stamp": _stamp(shard), "where": part.where}
        for name, values in (("names", part.names), ("labels", part.labels)):
            arrays |= {name: np.frombuffer(values.buffer, np.uint8), f"{name}_offsets": values.offsets}
        save_arrays("shards", _key(shard), arrays)
