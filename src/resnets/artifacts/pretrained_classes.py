"""The classes that weights know by name: which rows of their head a new head keeps."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from resnets.core.units import some
from resnets.models.coco_classes import COUNT as COCO_COUNT
from resnets.models.coco_classes import coco_classes
from resnets.models.imagenet_classes import COUNT, imagenet_classes
from resnets.models.voc_classes import VOC_CLASSES

MOST_SHOWN = 20  # classes in a note
_WORDNET_ID = re.compile(r"(n\d{8})(?:[ _-].*)?")


def rows_by_name(own: Sequence[str], theirs: Sequence[str]) -> dict[int, int]:
    """The row of the weights' head for each class of the data that they know by name.

    A name that is the same as it stands counts first. Others are compared without case, underscores, hyphens and
    spaces, where each is the name of one class alone on both sides; a class that the weights call by its WordNet id or
    name in ImageNet is known by either.

    Args:
        own: the classes of the data.
        theirs: those of the weights, by row.
    """
    exact = {name: row for row, name in enumerate(theirs)}
    found = {index: exact[name] for index, name in enumerate(own) if name in exact}
    taken = set(found.values())
    others = {index: _id_of(name) for index, name in enumerate(own) if index not in found}
    rest = {row: _aliases(name) for row, name in enumerate(theirs) if row not in taken}
    return dict(sorted((found | _loosely(others, rest)).items()))


def imagenet_rows(own: Sequence[str]) -> dict[int, int]:
    """As `rows_by_name`, for a head over the classes of ImageNet: by WordNet id, alone or before a name, or by name.

    A name of two classes, such as "crane" and "maillot", is that of neither.
    """
    return _loosely(dict(enumerate(map(_id_of, own))), dict(enumerate(imagenet_classes())))


def is_imagenet(rows: int | None) -> bool:
    """Whether a head of so many rows, whose file names no classes, is taken to be one over ImageNet's."""
    return rows == COUNT


def coco_rows(own: Sequence[str]) -> dict[int, int]:
    """As `rows_by_name`, for a detector's head over the ids of COCO's classes."""
    return {index: row for index, row in rows_by_name(own, coco_classes()).items() if coco_classes()[row]}


def is_coco(rows: int | None) -> bool:
    """Whether a detector's head of so many classes, whose file names none, is taken to be one over COCO's ids."""
    return rows == COCO_COUNT


def voc_rows(own: Sequence[str]) -> dict[int, int]:
    """As `rows_by_name`, for a head for pixels over VOC's classes and their background."""
    return rows_by_name(own, VOC_CLASSES)


def is_voc(rows: int | None) -> bool:
    """Whether a head for pixels of so many classes, whose file names none, is taken to be one over VOC's."""
    return rows == len(VOC_CLASSES)


def rows_note(own: Sequence[str], rows: Mapping[int, int], head: str) -> str:
    """A line on which classes keep their rows of the head.

    Args:
        head: the name of the layer.
    """
    if not rows:
        return f"{head} starts new: the weights know none of the {len(own):,} classes by name."
    kept = [own[index] for index in rows]
    shown = some(kept, MOST_SHOWN)
    rest = "" if len(kept) == len(own) else "; the others start new"
    return f"{head} keeps the rows of {len(kept):,} of {len(own):,} classes, which the weights know: {shown}{rest}."


def _loosely(own: Mapping[int, str], theirs: Mapping[int, Iterable[str]]) -> dict[int, int]:
    """The row for each name of `own` that stands for one class on either side, however it is spelled."""
    rows: dict[str, set[int]] = defaultdict(set)
    for row, names in theirs.items():
        for name in names:
            rows[_plain(name)].add(row)
    askers: dict[int, list[int]] = defaultdict(list)
    for index, name in own.items():
        if len(known := rows.get(_plain(name), set())) == 1:
            askers[next(iter(known))].append(index)
    return dict(sorted((indices[0], row) for row, indices in askers.items() if len(indices) == 1))


def _id_of(name: str) -> str:
    """The WordNet id that `name` is or begins with; other names as they are."""
    return match[1] if (match := _WORDNET_ID.fullmatch(name)) else name


def _aliases(name: str) -> tuple[str, ...]:
    """`name`, and where it is the WordNet id of a class of ImageNet its names, where it is a name the id."""
    row = _imagenet().get(_plain(_id_of(name)))
    if row is None:
        return (name,)
    known = imagenet_classes()[row]
    names = [each for each in known[1:] if _plain(each) in _imagenet()]  # not "crane", of which there are two
    return (name, known[0], *(names if _id_of(name) == known[0] else ()))


@cache
def _imagenet() -> dict[str, int]:
    """The class of ImageNet that a name without case and spaces is that of, where it is one alone."""
    names = [(_plain(name), row) for row, names in enumerate(imagenet_classes()) for name in names]
    counts = Counter(name for name, _ in names)
    return {name: row for name, row in names if counts[name] == 1}


def _plain(name: str) -> str:
    """`name` without case, underscores, hyphens and spaces."""
    return re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", name).casefold())
