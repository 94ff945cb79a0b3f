"""Holds out images to evaluate on while training, where the data has no such split, or is to be divided anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from resnets.core import rng
from resnets.core.errors import DataError, UsageError
from resnets.data.folds import with_fold
from resnets.data.groups import Groups, column_of, groups_of, note_on_leaks
from resnets.data.hashes import hashes_of
from resnets.data.split_settings import VAL_SHARE, SplitSettings, parse_fold
from resnets.modalities.base import NOUNS, Dataset, DatasetSplits, Subset
from resnets.modalities.pooled import pooled
from resnets.modalities.stratify import stratified_split

_STRATIFIED_SEED = 20151210
_OF_FOLDS = 8  # where the hash of val begins in that of a name, where the first bytes decide the fold
SplitRule = Literal["stratified", "hash", "groups"]


def with_watched_split(
    splits: DatasetSplits, name: str, settings: SplitSettings | None = None, *, rule: SplitRule = "groups"
) -> DatasetSplits:
    """`splits` with a split to evaluate on while training: the data's `val` or `test`, or a part of `train`.

    Args:
        name: the data's name, for messages.
        settings: what is held out; see `SplitSettings`.
        rule: how. "groups": by the hash of the name of each sample, or of its group; see `by_hash` and `by_groups`.
            "hash": as "groups", but the column `group` of a table changes nothing, as in runs before that column was
            read. "stratified": drawn class by class, as runs of version 0.1.0 did, from numbers that change for all
            images when one is added.

    Raises:
        DataError: there are too few images, or a group cannot be found.
        UsageError: nothing is to be held out, and the data has nothing to evaluate on.
    """
    settings = settings or SplitSettings()
    if rule == "stratified":
        splits = _without_dev(splits)
    if settings.holdout:
        return _drawn(splits, settings.holdout)
    column = rule == "groups"
    if settings.fold is not None:
        groups = groups_of(pooled(splits), settings.group_by, column=column)
        splits = with_fold(splits, name, parse_fold(settings.fold), groups)
    share = settings.val_share
    if share is None:
        share = VAL_SHARE if not {"val", "test"} & splits.splits.keys() else 0.0
    if "val" in splits.splits or not share:
        if not {"val", "test"} & splits.splits.keys():
            raise UsageError(f"{name} has neither val nor test, and val_share=0 holds nothing out to evaluate on.")
        by_column = _by_column(splits, settings, column)
        splits = _with_notes_on_leaks(splits, settings.group_by, column)
        return replace(splits, uses_group_column=True) if by_column else splits
    train, groups = splits.train, groups_of(splits.train, settings.group_by, column=column)
    if rule == "stratified":
        count = max(1, round(share * len(train)))
        kept, out = stratified_split(train.strata, count, rng.generator(_STRATIFIED_SEED, "held out"))
    else:
        kept, out = by_hash(train, share, groups, place=_OF_FOLDS if splits.is_pooled else 0)
    tested = "test" in splits.splits
    noun, classes = NOUNS[train.modality], len(np.unique(train.strata))
    if not len(out) or not len(kept) or len(np.unique(train.strata[kept])) < classes:
        part = "a fifth" if share == VAL_SHARE else f"{share:.3g}"
        of = "each class" if groups is None else f"each class, as it has {len(groups.names)} groups only"
        train_on_all = ", or train on all of them: --val-share 0" if tested else ""
        raise DataError(f"{name} is too small to hold out {part} of {of}: add images, or give it a val{train_on_all}.")
    has = "no val" if tested else "neither val nor test"
    whole = "" if groups is None else f" ({len(np.unique(groups.of[out]))} of {len(groups.names)} groups)"
    otherwise = " (--val-share 0 trains on all)" if tested else ""
    notes = [f"{name} has {has}: {len(out)} of its {len(train)} {noun}s{whole} are held out, as val{otherwise}."]
    if without := np.setdiff1d(train.strata, train.strata[out]).tolist():
        more = f" and {len(without) - 8} more" if len(without) > 8 else ""
        notes.append(f"val has no {noun}s of {', '.join(train.classes[label] for label in without[:8])}{more}.")
    found = _held_out(replace(splits, notes=(*splits.notes, *notes)), kept, out)
    found = _with_notes_on_leaks(found, settings.group_by, column)
    return replace(found, uses_group_column=_by_column(splits, settings, column))


def _without_dev(splits: DatasetSplits) -> DatasetSplits:
    """`splits` as version 0.1.0 read them, in which `dev/` was not `val`."""
    val = splits.splits.get("val")
    if val is None or not val.on_disk or val.on_disk[0].root.name != "dev":
        return splits
    return replace(splits, splits={name: dataset for name, dataset in splits.splits.items() if name != "val"})


def by_hash(
    dataset: Dataset, share: float = VAL_SHARE, groups: Groups | None = None, *, place: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (kept, held out), each rising: an image is held out where the hash of its name is below `share`.

    So no image changes sides when others are added or removed. In classes of two or more images of which all or none
    would be held out, the one with the nearest hash changes sides. A class of one image is kept.

    Args:
        share: from 0 to 1, of the range of hashes: 8 bytes (big-endian) of SHA-256 over `Dataset.key`.
        groups: which images stay together: the hash is that of the group's name, and whole groups change sides.
        place: of these bytes.
    """
    limit = np.uint64(min(round(share * 2**64), 2**64 - 1))
    if groups is not None:
        out = _groups_held_out(dataset.strata, groups, hashes_of(groups.names, place), limit)
        return np.flatnonzero(~out), np.flatnonzero(out)
    hashes = hashes_of(dataset, place)
    out = hashes < limit
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


def _groups_held_out(
    strata: NDArray[np.int64], groups: Groups, hashes: NDArray[np.uint64], limit: np.uint64
) -> NDArray[np.bool_]:
    """(N,) whether each sample is held out, where groups are held out by their hashes.

    First each class gets a group that is kept: the one with the highest hash. Then each class without a group that is
    held out gets the one with the lowest hash that leaves every class one to train on.
    """
    out = hashes < limit
    pairs = np.unique(np.stack([strata, groups.of], axis=1), axis=0)
    starts = np.flatnonzero(np.diff(pairs[:, 0], prepend=-1))
    members = [part[np.argsort(hashes[part], kind="stable")] for part in np.split(pairs[:, 1], starts[1:])]
    for own in members:
        if out[own].all():
            out[own[-1]] = False
    of_group: dict[int, list[NDArray[np.int64]]] = {}
    for own in members:
        for group in own.tolist():
            of_group.setdefault(group, []).append(own)
    for own in members:
        if out[own].any():
            continue
        for group in own.tolist():
            if all((~out[other]).sum() > 1 for other in of_group[group]):
                out[group] = True
                break
    return np.asarray(out[groups.of])


def _drawn(splits: DatasetSplits, holdout: int) -> DatasetSplits:
    train = splits.train
    classes, noun = len(np.unique(train.strata)), NOUNS[train.modality]
    if not classes <= holdout <= len(train) - classes:
        raise DataError(f"holdout={holdout} leaves too few of {len(train)} {noun}s of {classes} classes.")
    kept, out = stratified_split(train.strata, holdout, rng.generator(0, "holdout"))
    return _held_out(splits, kept, out)


def _by_column(splits: DatasetSplits, settings: SplitSettings, column: bool) -> bool:
    """Whether the column `group` of a table decided, or could have."""
    return column and settings.group_by is None and column_of(splits.train, "groups") is not None


def _with_notes_on_leaks(splits: DatasetSplits, group_by: str | None, column: bool) -> DatasetSplits:
    """`splits` with a note on groups that the data's own splits divide."""
    found = {split: groups_of(each, group_by, column=column) for split, each in splits.splits.items() if split != "all"}
    notes = [note for split in ("val", "test") for note in note_on_leaks(found.get("train"), found.get(split), split)]
    return replace(splits, notes=(*splits.notes, *notes)) if notes else splits


def _held_out(splits: DatasetSplits, kept: NDArray[np.int64], out: NDArray[np.int64]) -> DatasetSplits:
    train = splits.train
    by_name = {**splits.splits, "train": Subset(train, kept), "val": Subset(train, out)}
    return replace(splits, splits=by_name, held_out=True)
