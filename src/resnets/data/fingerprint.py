"""SHA-256 over a dataset, by which a resumed run checks that its training images are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np

from resnets.core.errors import DataError
from resnets.data.file_table import Files, FileTables
from resnets.modalities.base import Dataset
from resnets.modalities.file_names import normalized_name

# What a fingerprint covers; "names" is that of runs that began before contents were part of it.
Fingerprint = Literal["names", "contents"]
_PART = 4096


def names_sha256(dataset: Dataset) -> str:
    """SHA-256 over labels, classes and file names without their folders."""
    digest = hashlib.sha256(dataset.targets["labels"].tobytes())
    digest.update("\0".join(dataset.classes).encode(errors="surrogateescape"))
    for index in range(len(dataset)):
        digest.update(
            dataset.name(index).replace("\\", "/").rpartition("/")[2].encode(errors="surrogateescape") + b"\0"
        )
    return digest.hexdigest()


def contents_sha256(
    dataset: Dataset, tables: FileTables, *, strict: bool = True, before: Mapping[int, tuple[int, bytes]] | None = None
) -> str:
    """SHA-256 over targets, classes and, for each file, its name below the dataset's folder, its size and the hash of
    its first and last 4 KiB; for samples in memory, over their contents; for annotations, over what they say.

    Args:
        strict: a file that cannot be read is an error; else it has a hash of zeros.
        before: former size and hash by sample number, used in place of the current ones.
    """
    digest = hashlib.sha256(b"contents 1\0" + targets_bytes(dataset))
    digest.update("\0".join(dataset.classes).encode(errors="surrogateescape"))
    files = tables.of(dataset)
    if files and before:
        for number, (size, sha256) in before.items():
            files[0].records[number]["size"], files[0].records[number]["digest"] = size, sha256
    for each in files:
        for part in _files(each, strict):
            digest.update(part)
    for number in range(len(dataset) if has_fingerprints(dataset, bool(files)) else 0):
        digest.update(dataset.fingerprint(number))
    return digest.hexdigest()


def has_fingerprints(dataset: Dataset, has_files: bool) -> bool:
    """Whether fingerprints of samples say what nothing else does: where they are no files, or where their targets are
    read with each of them, such as the boxes in one file for all images."""
    return not has_files or not dataset.targets


def targets_bytes(dataset: Dataset) -> bytes:
    """The targets of all samples, the same on every machine."""
    arrays = dict(sorted(dataset.targets.items()))
    return b"".join(values.astype(values.dtype.newbyteorder("<")).tobytes() for values in arrays.values())


def _files(files: Files, strict: bool) -> Iterator[bytes]:
    records = files.records
    if strict and (records["size"] < 0).any():
        first = int(np.flatnonzero(records["size"] < 0)[0])
        name = files.path(first)
        raise DataError(f"{name} cannot be read: it is missing, or its permissions forbid it. Put it back.")
    names = files.on_disk.names
    for first in range(0, len(records), _PART):
        part = slice(first, first + _PART)
        yield b"\0".join(normalized_name(names[int(i)]) for i in files.indices[part])
        yield records["size"][part].tobytes()
        yield records["digest"][part].tobytes()
