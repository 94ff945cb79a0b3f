"""An index of tar shards: where in which file each sample lies, so that samples are read in any order.

A shard of WebDataset is a tar file, not compressed, in which the files of a sample have one name and different endings,
such as `cat/1.jpg` and `cat/1.cls`. Each shard is read once, from its first header to its last; the index is then kept
in the user's cache folder, and a shard whose size and modification time are unchanged is not read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import posixpath
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError, FileError
from resnets.core.files import parse_json, write_bytes
from resnets.core.workers import usable_cores
from resnets.modalities.cache import cache_folder
from resnets.modalities.file_names import Names
from resnets.modalities.image.read import headers
from resnets.modalities.listing import IMAGES

SWITCH = "RESNETS_SCAN_CACHE"
LABELS = (".cls", ".json", ".txt")  # the first that a sample has
_KEYS = ("label", "cls", "class")  # of a JSON object
_LONGEST_LABEL = 2**16  # bytes of a file with a label
_FORMAT = 1
_PROBED = 64  # files of the first shard that say whether it is one
# Number of the shard, place and size in it in bytes, hash of both ends, and whether the header says it is whole.
_WHERE = np.dtype([("shard", "<i4"), ("offset", "<i8"), ("size", "<i8"), ("digest", "V16"), ("whole", "u1")])


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """The samples of some shards.

    Args:
        shards: the tar files.
        names: (N,) of the images, as the shards have them, such as b"cat/1.jpg".
        labels: (N,) what the label files say.
        where: (N,) of `_WHERE`.
    """

    shards: tuple[Path, ...]
    names: Names
    labels: Names
    where: NDArray[np.void]

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
                stem, ending = _split(member.name)
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


def open_index(shards: Sequence[Path]) -> ShardIndex:
    """The index of `shards`, from the cache as far as they are unchanged.

    Raises:
        DataError: a shard cannot be read, or has a sample without a label, or two have the same one.
    """
    paths = tuple(Path(os.path.abspath(shard)) for shard in shards)
    known = {shard: part for shard in paths if (part := _load(shard)) is not None}
    missing = [shard for shard in paths if shard not in known]
    with ThreadPoolExecutor(max(1, min(len(missing), usable_cores()))) as pool:
        for shard, part in zip(missing, pool.map(_scan, missing), strict=True):
            known[shard] = part
            _save(shard, part)
    parts = [known[shard] for shard in paths]
    names, labels = (Names.of(each for part in parts for each in getattr(part, name)) for name in ("names", "labels"))
    where = np.concatenate([part.where for part in parts])
    where["shard"] = np.repeat(np.arange(len(parts)), [len(part.names) for part in parts])
    seen: dict[bytes, int] = {}
    for index, name in enumerate(names):
        if (first := seen.setdefault(name, index)) != index:
            both = " and ".join(str(paths[where[each]["shard"]]) for each in (first, index))
            raise DataError(f"{os.fsdecode(name)} is twice in the shards, in {both}: a sample has a name of its own.")
    return ShardIndex(paths, names, labels, where)


@dataclass(frozen=True)
class _Part:
    """The samples of one shard."""

    names: Names
    labels: Names
    where: NDArray[np.void]


def _scan(shard: Path) -> _Part:
    images: dict[str, tuple[str, int, int]] = {}
    labels: dict[str, dict[str, tuple[int, int]]] = {}
    rows: list[tuple[int, int, int, bytes, int]] = []
    names: list[bytes] = []
    texts: list[bytes] = []
    try:
        with open(shard, "rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in _members(tar):
                name = member.name.removeprefix("./")
                stem, ending = _split(name)
                place = member.offset_data, member.size
                if ending in LABELS:
                    labels.setdefault(stem, {})[ending] = place
                elif ending in IMAGES.endings:
                    if stem in images:
                        both = f"{images[stem][0]} and {name}"
                        raise DataError(f"{shard} has two images of one sample, {both}: give each a name of its own.")
                    images[stem] = name, *place
            _check_end(file, tar.offset, shard)
            for stem, (name, offset, size) in images.items():
                found = labels.get(stem, {})
                ending = next((each for each in LABELS if each in found), "")
                if not ending:
                    raise DataError(
                        f"{shard} has no label of {name}: put it into {stem}.cls, or into {stem}.json as "
                        '{"label": "NAME"}.'
                    )
                names.append(os.fsencode(name))
                texts.append(_label(file, *found[ending], ending, f"{stem}{ending} in {shard}").encode())
                rows.append((0, offset, size, *_examined(file, offset, size)))
    except tarfile.ReadError as error:
        raise DataError(
            f"{shard} cannot be read as a tar file ({error}): it is damaged, cut off or compressed; shards are "
            ".tar, not compressed."
        ) from error
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{shard} cannot be read ({error}): take another copy of it.") from error
    if not names:
        raise DataError(f"{shard} holds no images ({', '.join(sorted(IMAGES.endings))}).")
    return _Part(Names.of(names), Names.of(texts), np.array(rows, _WHERE))


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The files, without hidden ones and those of macOS."""
    for member in tar:
        tar.members = []  # type: ignore[attr-defined]  # tarfile would keep each header in memory
        parts = member.name.split("/")
        if member.isreg() and not member.issparse() and not any(p.startswith(".") and p != "." for p in parts):
            yield member


def _check_end(file: Any, offset: int, shard: Path) -> None:
    """Raises DataError where something follows the last header that is read: tarfile ends there in silence."""
    file.seek(offset)
    rest = file.read(tarfile.BLOCKSIZE)
    if rest and (len(rest) < tarfile.BLOCKSIZE or rest.strip(b"\0")):
        raise DataError(f"{shard} is damaged, or cut off, at byte {offset:,}: take another copy of it.")


def _examined(file: Any, offset: int, size: int) -> tuple[bytes, int]:
    def read(place: int, count: int) -> bytes:
        file.seek(offset + place)
        return bytes(file.read(max(0, min(count, size - place))))

    return headers.examine_part(read, size)


def _label(file: Any, offset: int, size: int, ending: str, name: str) -> str:
    file.seek(offset)
    content = file.read(min(size, _LONGEST_LABEL))
    value: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        value = parse_json(content) if ending == ".json" else content.decode("utf-8-sig").strip()
    if isinstance(value, dict):
        value = next((value[key] for key in _KEYS if key in value), None)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f'{name} holds no label: a text, a whole number, or JSON such as {{"label": "cat"}}.')
    return value.strip()


def _split(name: str) -> tuple[str, str]:
    """The name of a sample and the ending of one of its files, from its first dot on (WebDataset's rule)."""
    folder, base = posixpath.split(name.removeprefix("./"))
    stem, dot, ending = base.partition(".")
    return posixpath.join(folder, stem), (dot + ending).lower()


def _is_shard(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(".tar") and not entry.name.startswith(".") and entry.is_file()


def _cache(shard: Path) -> Path | None:
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "no", "false"):
        return None
    name = hashlib.sha256(f"{_FORMAT} {shard}".encode(errors="surrogateescape")).hexdigest()[:32]
    try:
        return cache_folder() / "shards" / f"{name}.npz"
    except RuntimeError:  # this user has no home folder
        return None


def _stamp(shard: Path) -> NDArray[np.int64]:
    info = os.stat(shard)
    return np.array([info.st_size, info.st_mtime_ns], np.int64)


def _load(shard: Path) -> _Part | None:
    path = _cache(shard)
    if path is None:
        return None
    try:
        data = path.read_bytes()
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            return None
        with np.load(io.BytesIO(data[32:]), allow_pickle=False) as found:
            if not np.array_equal(found["stamp"], _stamp(shard)):
                return None
            names, labels = (Names(found[f"{n}"].tobytes(), found[f"{n}_offsets"]) for n in ("names", "labels"))
            return _Part(names, labels, found["where"].astype(_WHERE, casting="no"))
    except (OSError, ValueError, KeyError, EOFError, TypeError):
        return None


def _save(shard: Path, part: _Part) -> None:
    """Writes an index, where the cache can be written."""
    path = _cache(shard)
    if path is None:
        return
    buffer = io.BytesIO()
    with contextlib.suppress(FileError, OSError):
        arrays: dict[str, NDArray[Any]] = {"stamp": _stamp(shard), "where": part.where}
        for name, values in (("names", part.names), ("labels", part.labels)):
            arrays |= {name: np.frombuffer(values.buffer, np.uint8), f"{name}_offsets": values.offsets}
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        content = buffer.getbuffer()
        write_bytes(path, hashlib.sha256(content).digest() + content)
