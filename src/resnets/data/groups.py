"""Groups of samples that belong together, such as those of one scene, patient or video, and are never divided.

A sample's group is what a regular expression finds in its name, or what the column `group` of a table says.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError
from resnets.data.split_settings import parse_group_by
from resnets.modalities.base import NOUNS, Dataset, Subset

_SHOWN = 5


@dataclass(frozen=True)
class Groups:
    """Which samples of a dataset belong together.

    Args:
        names: (G,) sorted, as UTF-8 in NFC.
        of: (N,) the number in `names` of each sample's group.
    """

    names: tuple[bytes, ...]
    of: NDArray[np.int64]


def groups_of(dataset: Dataset, group_by: str | None, *, column: bool = True) -> Groups | None:
    """The groups of `dataset`; None where it has none.

    Args:
        group_by: a regular expression that is searched for in each sample's relative name, such as "cat/7.jpg": the
            group is the expression's first group where it has one, else the whole match.
        column: whether the column `group` of a table counts, where `group_by` is None. A sample whose cell is empty is
            a group of its own.

    Raises:
        DataError: the expression does not occur in a name.
    """
    keys = (dataset.key(index).decode(errors="surrogateescape") for index in range(len(dataset)))
    if group_by is not None:
        return _numbered(_found(parse_group_by(group_by), list(keys), NOUNS[dataset.modality]))
    tags = column_of(dataset, "groups") if column else None
    if tags is None:
        return None
    # A NUL is in no name, so that no sample without a group shares one.
    return _numbered([tag or f"\0{key}" for tag, key in zip(tags, keys, strict=True)])


def column_of(dataset: Dataset, name: str) -> list[str] | None:
    """The texts that a table has for each sample; None where the dataset is no table, or has no such column.

    Args:
        name: "groups" or "folds".
    """
    if isinstance(dataset, Subset):
        values = column_of(dataset.dataset, name)
        return None if values is None else [values[int(index)] for index in dataset.indices]
    found = getattr(dataset, name, None)
    return None if found is None else [each.decode(errors="surrogateescape") for each in found]


def note_on_leaks(train: Groups | None, other: Groups | None, split: str) -> tuple[str, ...]:
    """A note where the data's own splits divide groups, which is left as it is."""
    if train is None or other is None:
        return ()
    both = sorted(set(train.names) & set(other.names))
    if not both:
        return ()
    shown = ", ".join(name.decode(errors="surrogateescape") for name in both[:_SHOWN])
    more = f" and {len(both) - _SHOWN:,} more" if len(both) > _SHOWN else ""
    return (f"{len(both):,} groups are in train and in {split}, so that its metrics are too good: {shown}{more}.",)


def _found(pattern: re.Pattern[str], names: list[str], noun: str) -> list[str]:
    groups: list[str] = []
    without: list[str] = []
    for name in names:
        match = pattern.search(name)
        group = match and (match[1] if pattern.groups else match[0])
        if not group:
            without.append(name)
        groups.append(group or "")
    if without:
        more = f" and {len(without) - _SHOWN:,} more" if len(without) > _SHOWN else ""
        raise DataError(
            f"group_by={pattern.pattern} finds no group in the names of {len(without):,} of {len(names):,} {noun}s: "
            f"{', '.join(without[:_SHOWN])}{more}. Names are those below the data's root, with forward slashes."
        )
    return groups


def _numbered(groups: list[str]) -> Groups:
    encoded = [unicodedata.normalize("NFC", group).encode(errors="surrogateescape") for group in groups]
    names = sorted(set(encoded))
    number = {name: place for place, name in enumerate(names)}
    return Groups(tuple(names), np.fromiter((number[each] for each in encoded), np.int64, len(encoded)))
