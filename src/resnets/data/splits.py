"""Holds out images to evaluate on while training, where the data has no such split."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from resnets.core import rng
from resnets.core.errors import DataError
from resnets.modalities.base import NOUNS, Dataset, DatasetSplits, Subset
from resnets.modalities.stratify import stratified_split

VAL_SHARE = 0.2
_STRATIFIED_SEED = 20151210
SplitRule = Literal["stratified", "hash"]


def with_watched_split(
    splits: DatasetSplits, name: str, *, holdout: int = 0, rule: SplitRule = "hash"
) -> DatasetSplits:
    """`splits` with a split to evaluate on while training: the data's `val` or `test`, or a part of `train`.

    Args:
        name: the data's name, for messages.
        holdout: number of training images, drawn class by class, that replace the data's own `val`; 0 for none.
        rule: how a fifth is held out where the dataset has neither `val` nor `test`. "hash": see `by_hash`.
            "stratified": drawn class by class, as runs of version 0.1.0 did, from numbers that change for all images
            when one is added.

    Raises:
        DataError: there are too few images.
    """
    if rule == "stratified":
        splits = _without_dev(splits)
    train = splits.train
    classes, noun = len(np.unique(train.strata)), NOUNS[train.modality]
    if holdout:
        if not classes <= holdout <= len(train) - classes:
            raise DataError(f"holdout={holdout} leaves too few of {len(train)} {noun}s of {classes} classes.")
        kept, out = stratified_split(train.strata, holdout, rng.generator(0, "holdout"))
        return _held_out(splits, kept, out)
    if "val" in splits.splits or "test" in splits.splits:
        return splits
    if rule == "hash":
        kept, out = by_hash(train)
    else:
        count = max(1, round(VAL_SHARE * len(train)))
        kept, out = stratified_split(train.strata, count, rng.generator(_STRATIFIED_SEED, "held out"))
    if not len(out) or not len(kept) or len(np.unique(train.strata[kept])) < classes:
        raise DataError(f"{name} is too small to hold out a fifth of each class: add images, or give it a val.")
    notes = [f"{name} has neither val nor test: {len(out)} of its {len(train)} {noun}s are held out, as val."]
    if without := np.setdiff1d(train.strata, train.strata[out]).tolist():
        more = f" and {len(without) - 8} more" if len(without) > 8 else ""
        notes.append(f"val has no {noun}s of {', '.join(train.classes[label] for label in without[:8])}{more}.")
    return _held_out(replace(splits, notes=(*splits.notes, *notes)), kept, out)


def _without_dev(splits: DatasetSplits) -> DatasetSplits:
    """`splits` as version 0.1.0 read them, in which `dev/` was not `val`."""
    val = splits.splits.get("val")
    if val is None or not val.on_disk or val.on_disk[0].root.name != "dev":
        return splits
    return replace(splits, splits={name: dataset for name, dataset in splits.splits.items() if name != "val"})


def by_hash(dataset: Dataset, share: float = VAL_SHARE) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (kept, held out), each rising: an image is held out where the hash of its name is below `share`.

    So no image changes sides when others are added or removed. In classes of two or more images of which all or none
    would be held out, the one with the nearest hash changes sides. A class of one image is kept.

    Args:
        share: from 0 to 1, of the range of hashes: the first 8 bytes (big-endian) of SHA-256 over `Dataset.key`.
    """
    hashes = np.fromiter((_hash(dataset.key(index)) for index in range(len(dataset))), np.uint64, len(dataset))
    out = hashes < np.uint64(min(round(share * 2**64), 2**64 - 1))
    order = np.lexsort((hashes, dataset.strata))
    ends = np.flatnonzero(np.diff(dataset.strata[order])) + 1
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


def _held_out(splits: DatasetSplits, kept: NDArray[np.int64], out: NDArray[np.int64]) -> DatasetSplits:
    train = splits.train
    by_name = {**splits.splits, "train": Subset(train, kept), "val": Subset(train, out)}
    return replace(splits, splits=by_name, held_out=True)
