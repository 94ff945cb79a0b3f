"""Which images are held out to evaluate on while training, where the data does not say."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from resnets import draws
from resnets.data.folder import FolderSource
from resnets.data.sources import Dataset, Source, Subset, stratified_split
from resnets.errors import DataError

VAL_SHARE = 0.2
_STRATIFIED_SEED = 20151210
SplitRule = Literal["stratified", "hash"]


def with_watched_split(dataset: Dataset, name: str, *, holdout: int = 0, rule: SplitRule = "hash") -> Dataset:
    """`dataset` with a split to evaluate on while training: its own `val` or `test`, or a part of `train`.

    Args:
        name: of the dataset, for messages.
        holdout: images, drawn class by class, that are `val` in place of its own; 0 for none.
        rule: how a fifth is held out where the dataset has neither `val` nor `test`. "hash": see `by_hash`.
            "stratified": drawn class by class, as runs of version 0.1.0 did, from numbers that change for all images
            when one is added.

    Raises:
        DataError: there are too few images.
    """
    if rule == "stratified":
        dataset = _without_dev(dataset)
    train = dataset.train
    if holdout:
        classes = len(train.classes)
        if not classes <= holdout <= len(train) - classes:
            raise DataError(f"holdout={holdout} leaves too few of {len(train)} pictures of {classes} classes.")
        kept, out = stratified_split(train.labels, holdout, draws.generator(0, "holdout"))
        return _held_out(dataset, kept, out)
    if "val" in dataset.splits or "test" in dataset.splits:
        return dataset
    if rule == "hash":
        kept, out = by_hash(train)
    else:
        count = max(1, round(VAL_SHARE * len(train)))
        kept, out = stratified_split(train.labels, count, draws.generator(_STRATIFIED_SEED, "held out"))
    if not len(out) or len(np.unique(train.labels[kept])) < len(train.classes):
        raise DataError(f"{name} is too small to hold out a fifth of each class: add images, or give it a val folder.")
    notes = [f"{name} has no val or test folder: {len(out)} of its {len(train)} images are held out, as val."]
    if without := np.setdiff1d(np.arange(len(train.classes)), train.labels[out]).tolist():
        more = f" and {len(without) - 8} more" if len(without) > 8 else ""
        notes.append(f"val has no images of {', '.join(train.classes[label] for label in without[:8])}{more}.")
    return _held_out(replace(dataset, notes=(*dataset.notes, *notes)), kept, out)


def _without_dev(dataset: Dataset) -> Dataset:
    """`dataset` as version 0.1.0 saw it, which did not know that `dev/` can be `val`."""
    val = dataset.splits.get("val")
    if not (isinstance(val, FolderSource) and val.root.name == "dev"):
        return dataset
    return replace(dataset, splits={name: source for name, source in dataset.splits.items() if name != "val"})


def by_hash(source: Source, share: float = VAL_SHARE) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (kept, held out), each rising: an image is held out where the hash of its name is below `share`.

    So no image changes sides when others are added or removed. In classes of two or more, of which all or none would be
    held out, the one with the nearest hash changes sides. A class of one image is kept.

    Args:
        share: from 0 to 1, of the range of hashes: the first 8 bytes (big-endian) of SHA-256 over `Source.key`.
    """
    hashes = np.fromiter((_hash(source.key(index)) for index in range(len(source))), np.uint64, len(source))
    out = hashes < np.uint64(min(round(share * 2**64), 2**64 - 1))
    order = np.lexsort((hashes, source.labels))
    ends = np.flatnonzero(np.diff(source.labels[order])) + 1
    for members in np.split(order, ends):  # a class, by rising hash
        if len(members) == 1:
            out[members] = False
        elif len(members) and not out[members[0]]:
            out[members[0]] = True
        elif len(members) and out[members[-1]]:
            out[members[-1]] = False
    return np.flatnonzero(~out), np.flatnonzero(out)


def _hash(name: bytes) -> int:
    return int.from_bytes(hashlib.sha256(name).digest()[:8], "big")


def _held_out(dataset: Dataset, kept: NDArray[np.int64], out: NDArray[np.int64]) -> Dataset:
    train = dataset.train
    splits = {**dataset.splits, "train": Subset(train, kept), "val": Subset(train, out)}
    return replace(dataset, splits=splits, held_out=True)
