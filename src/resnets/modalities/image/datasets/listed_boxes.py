"""What the annotations of images with boxes say, and the dataset of what is right of it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError
from resnets.core.units import some
from resnets.modalities.base import Dataset, DatasetSplits, SplitName, Subset
from resnets.modalities.image.datasets.annotations import Annotations
from resnets.modalities.image.datasets.boxes import BoxDataset
from resnets.modalities.image.read.orientation import upright_size
from resnets.modalities.image.read.pillow import read_header

BACKGROUND = frozenset({"background", "__background__", "_background_"})
ROUNDING = 1e-5  # of the image's size: by less, a box that is written with six digits reaches out of it
_SHOWN = 5


@dataclass(frozen=True)
class ListedBoxes:
    """What the annotations of some data say, before anything is left out.

    Args:
        classes: their names, in the order of their numbers in the annotations.
        category_ids: what the data calls each class.
        splits: the numbers of the images of each split.
        notes: a line each.
    """

    annotations: Annotations
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    splits: Mapping[SplitName, NDArray[np.int64]]
    notes: tuple[str, ...] = field(default=())

    @property
    def learnt_from(self) -> SplitName:
        """The split that is trained on."""
        return "train" if "train" in self.splits else "all"


def in_order(splits: Mapping[SplitName, NDArray[np.int64]]) -> dict[SplitName, NDArray[np.int64]]:
    """The splits that have images, train first."""
    names: tuple[SplitName, ...] = ("train", "val", "test", "all")
    return {split: splits[split] for split in names if split in splits and len(splits[split])}


def open_boxes(listed: ListedBoxes, format: str) -> DatasetSplits:
    """The splits of what was listed, without the boxes that have no area or lie outside of their image, and with those
    that reach out of it cut at its border; notes count and name them.

    Raises:
        DataError: there is no box to learn from, or a class is called background and has boxes.
    """
    annotations, notes = _with_sizes(listed.annotations), list(listed.notes)
    if listed.learnt_from not in listed.splits:
        raise DataError(f"{annotations.root} has no images to learn from.")
    empty = annotations.degenerate()
    limits = annotations.limits()
    outside = annotations.outside(limits) & ~empty
    for wrong, what in ((empty, "without an area"), (outside, "outside of their images")):
        if wrong.any():
            named = _named(annotations, np.flatnonzero(wrong))
            notes.append(f"Boxes {what} are left out ({wrong.sum():,}): {named}.")
    kept = ~(empty | outside)
    inside = np.clip(annotations.boxes, 0, limits)
    cut = kept & (np.abs(inside - annotations.boxes) > ROUNDING * limits).any(1)
    if cut.any():
        first = _named(annotations, np.flatnonzero(cut)[:1])
        notes.append(f"Boxes that reach out of their images are cut at the border ({cut.sum():,}), such as {first}.")
    annotations = replace(annotations, boxes=inside)
    if not kept.all():
        annotations = annotations.with_boxes(kept)
    annotations, classes, ids = _without_background(annotations, listed, notes)
    whole = BoxDataset(annotations, classes, ids)
    splits: dict[SplitName, Dataset] = {
        split: whole if len(numbers) == len(whole) else Subset(whole, numbers)
        for split, numbers in listed.splits.items()
    }
    train = np.isin(annotations.image_of, listed.splits[listed.learnt_from])
    if not train.any():
        raise DataError(f"{annotations.root} has no box to learn from in its {listed.learnt_from} images.")
    if without := [name for label, name in enumerate(classes) if not (annotations.labels[train] == label).any()]:
        notes.append(f"{annotations.root}: {listed.learnt_from} has no box of {some(without)}.")
    return DatasetSplits(splits, notes=tuple(notes), format=format)


def _with_sizes(annotations: Annotations) -> Annotations:
    """The annotations with the sizes that they do not say, of images whose header can be read."""
    unknown = np.flatnonzero((annotations.sizes <= 0).any(1)) if not annotations.relative else np.zeros(0, np.int64)
    if not len(unknown):
        return annotations
    sizes = annotations.sizes.copy()
    for image in unknown.tolist():
        with contextlib.suppress(DataError), read_header(annotations.path(image)) as header:
            sizes[image] = upright_size(header)[::-1]
    return replace(annotations, sizes=sizes)


def _without_background(
    annotations: Annotations, listed: ListedBoxes, notes: list[str]
) -> tuple[Annotations, tuple[str, ...], tuple[int, ...]]:
    """The annotations, classes and ids without a class that is called background."""
    number = next((n for n, name in enumerate(listed.classes) if name.lower() in BACKGROUND), None)
    if number is None:
        return annotations, listed.classes, listed.category_ids
    name, rows = listed.classes[number], np.flatnonzero(annotations.labels == number)
    if len(rows):
        raise DataError(
            f"{_named(annotations, rows[:1])} is of the class {name}, and background is what has no box: rename the "
            "class, or take its boxes out."
        )
    notes.append(f"The class {name} has no boxes, and is left out: background is what has no box.")
    labels = annotations.labels - (annotations.labels > number)
    others = [n for n in range(len(listed.classes)) if n != number]
    classes = tuple(listed.classes[n] for n in others)
    return replace(annotations, labels=labels), classes, tuple(listed.category_ids[n] for n in others)


def _named(annotations: Annotations, rows: NDArray[np.int64]) -> str:
    """The places of boxes with their coordinates, at most `_SHOWN` of them."""
    images = annotations.image_of
    shown = [
        f"{annotations.place(row, int(images[row]))} ({', '.join(f'{value:.6g}' for value in annotations.boxes[row])})"
        for row in rows[:_SHOWN].tolist()
    ]
    more = [f"and {len(rows) - _SHOWN:,} more"] if len(rows) > _SHOWN else []
    return "; ".join([*shown, *more])
