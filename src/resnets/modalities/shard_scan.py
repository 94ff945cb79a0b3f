"""Reads one tar shard: where its images lie, and what their label files say."""

from __future__ import annotations

import contextlib
import os
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from resnets.core.files import parse_json
from resnets.modalities.faults import Fault, Faults, refuse
from resnets.modalities.file_names import Names
from resnets.modalities.image.read import headers
from resnets.modalities.listing import IMAGES

LABELS = (".cls", ".json", ".txt")  # the first that a sample has
_KEYS = ("label", "cls", "class")  # of a JSON object
_LONGEST_LABEL = 2**16  # bytes of a file with a label
# Number of the shard, place and size in it in bytes, hash of both ends, and whether the header says it is whole.
WHERE = np.dtype([("shard", "<i4"), ("offset", "<i8"), ("size", "<i8"), ("digest", "V16"), ("whole", "u1")])


@dataclass(frozen=True)
class ShardPart:
    """The samples of one shard."""

    names: Names
    labels: Names
    where: NDArray[np.void]


def scan_shard(shard: Path, faults: Faults | None = None) -> ShardPart:
    """Reads a shard from its first header to its last.

    Args:
        faults: gets what is wrong, in place of an error; samples with a fault are left out.

    Raises:
        DataError: it cannot be read, has no images, two of one sample, or one without a label.
    """
    images: dict[str, tuple[str, int, int]] = {}
    labels: dict[str, dict[str, tuple[int, int]]] = {}
    dotted: dict[str, str] = {}
    rows: list[tuple[int, int, int, bytes, int]] = []
    names: list[bytes] = []
    texts: list[bytes] = []
    try:
        with open(shard, "rb") as file:
            _list_members(file, shard, images, labels, dotted, faults)
            for stem, (name, offset, size) in images.items():
                found = labels.pop(stem, {})
                ending = next((each for each in LABELS if each in found), "")
                if not ending:
                    message = (
                        f"{shard} has no label of {name}: put it into {stem}.cls, or into {stem}.json as "
                        '{"label": "NAME"}.'
                    )
                    refuse(faults, "missing_annotation", f"{shard}/{name}", message)
                    continue
                text = _label(file, *found[ending], ending)
                if not text:
                    message = (
                        f"{stem}{ending} in {shard} holds no label: a text, a whole number, or JSON such as "
                        '{"label": "cat"}.'
                    )
                    refuse(faults, "bad_row", f"{shard}/{stem}{ending}", message)
                    continue
                names.append(os.fsencode(name))
                texts.append(text.encode())
                rows.append((0, offset, size, *_examined(file, offset, size)))
    except OSError as error:
        refuse(faults, "unreadable", shard, f"{shard} cannot be read ({error}): take another copy of it.")
    for stem, name in dotted.items():
        if stem not in images:
            message = (
                f"{shard}: the name of {name} has a dot before its ending, and WebDataset takes the ending to begin at "
                "the first one: take other dots out of the names of samples."
            )
            refuse(faults, "bad_row", f"{shard}/{name}", message)
    if faults is not None:
        for stem, found in labels.items():
            own = f"{stem}{next(iter(found))}"
            message = f"{shard} has no image of {own}."
            faults.append(Fault("orphan_annotation", f"{shard}/{own}", message, is_note=True))
    if not images:
        message = f"{shard} holds no images ({', '.join(sorted(IMAGES.endings))})."
        refuse(faults, "unreadable", shard, message)
    return ShardPart(Names.of(names), Names.of(texts), np.array(rows, WHERE))


def _list_members(
    file: BinaryIO,
    shard: Path,
    images: dict[str, tuple[str, int, int]],
    labels: dict[str, dict[str, tuple[int, int]]],
    dotted: dict[str, str],
    faults: Faults | None,
) -> None:
    """Adds name, place and size of each image, places and sizes of the labels, and the names of other images, by the
    names of samples."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in _members(tar):
                name = member.name.removeprefix("./")
                stem, ending = sample_name(name)
                place = member.offset_data, member.size
                if ending in LABELS:
                    labels.setdefault(stem, {})[ending] = place
                elif ending in IMAGES.endings and stem in images:
                    both = f"{images[stem][0]} and {name}"
                    message = f"{shard} has two images of one sample, {both}: give each a name of its own."
                    refuse(faults, "bad_row", f"{shard}/{name}", message)
                elif ending in IMAGES.endings:
                    images[stem] = name, *place
                elif IMAGES.has(name):
                    dotted[stem] = name
            file.seek(tar.offset)
            rest = file.read(tarfile.BLOCKSIZE)
            if rest and (len(rest) < tarfile.BLOCKSIZE or rest.strip(b"\0")):  # tarfile ends there in silence
                message = f"{shard} is damaged, or cut off, at byte {tar.offset:,}: take another copy of it."
                refuse(faults, "truncated", shard, message)
    except tarfile.ReadError as error:
        message = (
            f"{shard} cannot be read as a tar file ({error}): it is damaged, cut off or compressed; shards are "
            ".tar, not compressed."
        )
        refuse(faults, "truncated" if "unexpected end" in str(error) else "unreadable", shard, message)
    except tarfile.TarError as error:
        refuse(faults, "unreadable", shard, f"{shard} cannot be read ({error}): take another copy of it.")


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The files, without hidden ones and those of macOS."""
    for member in tar:
        tar.members = []  # type: ignore[attr-defined]  # tarfile would keep each header in memory
        parts = member.name.split("/")
        if member.isreg() and not member.issparse() and not any(p.startswith(".") and p != "." for p in parts):
            yield member


def _examined(file: BinaryIO, offset: int, size: int) -> tuple[bytes, int]:
    def read(place: int, count: int) -> bytes:
        file.seek(offset + place)
        return bytes(file.read(max(0, min(count, size - place))))

    return headers.examine_part(read, size)


def _label(file: BinaryIO, offset: int, size: int, ending: str) -> str:
    """The label that a file holds; empty where it holds none."""
    file.seek(offset)
    content = file.read(min(size, _LONGEST_LABEL))
    value: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        value = parse_json(content) if ending == ".json" else content.decode("utf-8-sig").strip()
    if isinstance(value, dict):
        value = next((value[key] for key in _KEYS if key in value), None)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value.strip() if isinstance(value, str) else ""


def sample_name(name: str) -> tuple[str, str]:
    """The name of a sample and the ending of one of its files, from its first dot on (WebDataset's rule)."""
    folder, base = posixpath.split(name.removeprefix("./"))
    stem, dot, ending = base.partition(".")
    return posixpath.join(folder, stem), (dot + ending).lower()
