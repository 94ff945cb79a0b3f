"""k-fold cross-validation: which fold each sample is in, by the hash of its name or of its group, or by a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError
from resnets.data.groups import Groups, column_of
from resnets.data.hashes import hashes_of
from resnets.data.split_settings import Fold
from resnets.modalities.base import NOUNS, Dataset, DatasetSplits, Subset
from resnets.modalities.pooled import pooled

USUAL_FOLDS = 5


def count_folds(splits: DatasetSplits) -> int:
    """How many folds the data has: as many as the column `fold` of a table has values, else `USUAL_FOLDS`."""
    values = column_of(pooled(splits), "folds")
    return USUAL_FOLDS if values is None else len(set(values))


def with_fold(splits: DatasetSplits, name: str, fold: Fold, groups: Groups | None) -> DatasetSplits:
    """All samples of the data divided into `test`, those of the fold, and `train`, the others.

    A sample that is the only one of its class (or of whose class there is one group) is in no fold: it is always
    trained on.

    Args:
        name: of the data, for messages.
        groups: of `pooled(splits)`.

    Raises:
        DataError: the data cannot be divided so.
    """
    whole = pooled(splits)
    numbers = _by_column(whole, name, fold, groups)
    by_table = numbers is not None
    if numbers is None:
        numbers = folds_by_hash(whole, fold.count, groups)
    tested, trained = np.flatnonzero(numbers == fold.number), np.flatnonzero(numbers != fold.number)
    if not len(tested) or len(np.unique(whole.strata[trained])) < len(np.unique(whole.strata)):
        raise DataError(
            f"{name} is too small for {fold.count} folds: fold {fold.number} would be empty, or training would lack a "
            "class. Take fewer folds, or add samples."
        )
    noun, own = NOUNS[whole.modality], [split for split in splits.splits if split != "all"]
    by = "the column fold" if by_table else "the hash of each group" if groups else "the hash of each name"
    notes = [f"Fold {fold} of {name}, by {by}: {len(tested):,} of {len(whole):,} {noun}s are the split test."]
    if len(own) > 1:
        notes.append(f"Folds are of all {noun}s: those of {' and '.join(own)} are put together.")
    if never := int((numbers == 0).sum()):
        notes.append(f"{never:,} {noun}s are the only ones, or the only group, of their class: they are in no fold.")
    return replace(
        splits,
        splits={"train": Subset(whole, trained), "test": Subset(whole, tested)},
        notes=(*splits.notes, *notes),
        held_out=True,
        is_pooled=True,
    )


def folds_by_hash(dataset: Dataset, count: int, groups: Groups | None) -> NDArray[np.int64]:
    """(N,) the fold of each sample, from 1 to `count`; 0 for those that are always trained on.

    The range of the hashes of names (or of groups) is divided into `count` equal parts, so that no sample changes its
    fold when others come or go. Where a class has no sample in a fold, the nearest by hash comes from a fold that has
    several of it, unless that divides a group or takes the last sample of another class from a fold.
    """
    units = np.arange(len(dataset)) if groups is None else groups.of
    names = None if groups is None else groups.names
    hashes = hashes_of(dataset) if names is None else hashes_of(names)
    places = hashes / 2.0**64  # from 0 to 1
    folds = np.minimum((places * count).astype(np.int64) + 1, count)
    strata = dataset.strata
    pairs = np.unique(np.stack([strata, units], axis=1), axis=0)
    starts = np.flatnonzero(np.diff(pairs[:, 0], prepend=-1))
    members = {
        int(pairs[first, 0]): part for first, part in zip(starts, np.split(pairs[:, 1], starts[1:]), strict=True)
    }
    classes_of: dict[int, list[int]] = {}
    if groups is not None:
        for label, unit in pairs.tolist():
            classes_of.setdefault(unit, []).append(label)
    for label, own in members.items():
        if len(own) == 1:
            continue
        here = np.bincount(folds[own], minlength=count + 1)
        for empty in np.flatnonzero(here[1:] == 0) + 1:
            middle = (empty - 0.5) / count
            for unit in own[np.lexsort((hashes[own], np.abs(places[own] - middle)))].tolist():
                if here[folds[unit]] > 1 and _is_free(unit, int(folds[unit]), label, folds, members, classes_of):
                    here[folds[unit]] -= 1
                    here[empty] += 1
                    folds[unit] = empty
                    break
    for own in members.values():
        if len(own) == 1:
            folds[own] = 0
    return np.asarray(folds[units])


def _is_free(
    unit: int,
    fold: int,
    label: int,
    folds: NDArray[np.int64],
    members: dict[int, NDArray[np.int64]],
    classes_of: dict[int, list[int]],
) -> bool:
    """Whether the other classes of a group have more of `fold` than this group."""
    others = (each for each in classes_of.get(unit, ()) if each != label)
    return all((folds[members[other]] == fold).sum() > 1 for other in others)


def _by_column(whole: Dataset, name: str, fold: Fold, groups: Groups | None) -> NDArray[np.int64] | None:
    """(N,) the fold of each sample as the column `fold` of a table says; None where there is none.

    Raises:
        DataError: the column has no value for a sample, or another number of values, or divides a group.
    """
    values = column_of(whole, "folds")
    if values is None:
        return None
    if "" in values:
        first = values.index("")
        raise DataError(f"{whole.name(first)} has no fold in {name}: fill in the column, or remove it.")
    found = sorted(set(values), key=_in_order)
    if len(found) != fold.count:
        shown = ", ".join(found[:8]) + (" and more" if len(found) > 8 else "")
        raise DataError(
            f"The column fold of {name} has {len(found)} values ({shown}), not {fold.count}: give --fold "
            f"{min(fold.number, len(found))}/{len(found)}, or remove the column."
        )
    numbers = np.array([found.index(value) + 1 for value in values], np.int64)
    if groups is not None:
        first_of = np.zeros(len(groups.names), np.int64)
        first_of[groups.of[::-1]] = numbers[::-1]
        divided = np.flatnonzero(first_of[groups.of] != numbers)
        if len(divided):
            group = groups.names[groups.of[divided[0]]].decode(errors="surrogateescape")
            raise DataError(f"The column fold of {name} divides the group {group}: put all of it into one fold.")
    return numbers


def _in_order(value: str) -> tuple[bool, int, str]:
    """Sorts whole numbers by their value, and other texts after them."""
    is_number = value.isascii() and value.isdecimal()
    return not is_number, int(value) if is_number else 0, value
