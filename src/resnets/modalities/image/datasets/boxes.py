"""Images with boxes, and with a mask for each box where there are any: what lies on each image, and of which class.

`voc`, `coco` and `yolo` read the annotations; what they give is the same for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.core.errors import DataError
from resnets.modalities.base import Arrays, Dataset, DatasetSplits, OnDisk, SplitName, Subset
from resnets.modalities.file_names import normalized_name
from resnets.modalities.image.datasets.annotations import Annotations, Size
from resnets.modalities.image.preprocessing import Background, Color
from resnets.modalities.image.read.orientation import upright_size
from resnets.modalities.image.read.pillow import open_image, read_header
from resnets.modalities.image.segments import read_segment

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


@dataclass(frozen=True, eq=False)
class BoxDataset:
    """Images with boxes, read from their files one at a time.

    Args:
        annotations: without boxes of zero size and outside of their images; no box reaches out of its image.
        classes: without a background, which is what has no box.
        category_ids: what the data calls each class, such as COCO's numbers, which have gaps.
        with_masks: whether targets have the mask of each object.
    """

    annotations: Annotations
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    with_masks: bool = False

    @property
    def modality(self) -> str:
        return "image"

    @property
    def task(self) -> str:
        return "detection"

    @property
    def targets(self) -> Mapping[str, NDArray[Any]]:
        return {}

    @property
    def strata(self) -> NDArray[np.int64]:
        return np.zeros(len(self), np.int64)

    @property
    def on_disk(self) -> tuple[OnDisk, ...]:
        return (OnDisk(self.annotations.root, self.annotations.images),)

    @property
    def image_ids(self) -> NDArray[np.int64]:
        """(N,) what the data calls each image: COCO's ids, else its number from 1."""
        return self.annotations.ids

    @property
    def has_masks(self) -> bool:
        """Whether the data has masks of objects."""
        return self.annotations.segments is not None

    def masked(self) -> BoxDataset:
        """The dataset whose targets have the mask of each object.

        Raises:
            DataError: there are none.
        """
        if not self.has_masks:
            raise DataError(f"{self.annotations.root} has boxes, and no masks of objects.")
        return replace(self, with_masks=True)

    def __len__(self) -> int:
        return len(self.annotations)

    def path(self, index: int) -> Path:
        return self.annotations.path(index)

    def image(self, index: int, color: Color, background: Background | None = None) -> Image.Image:
        """The decoded image, upright.

        Raises:
            DataError: it is damaged, or of another size than its annotation says.
        """
        image = open_image(self.path(index), color, background=background)
        self._check_size(index, (image.height, image.width))
        return image

    def size(self, index: int) -> Size:
        """Height and width of the upright image, from its header.

        Raises:
            DataError: it cannot be read, or has another size than its annotation says.
        """
        with read_header(self.path(index)) as image:
            width, height = upright_size(image)
        self._check_size(index, (height, width))
        return height, width

    def target(self, index: int) -> Arrays:
        """As `objects`, and "image_ids", () int64; `with_masks`, "masks" (n, height, width) uint8 of 0 and 1.

        Raises:
            DataError: the image cannot be read, or has another size than its annotation says; or an object has no mask.
        """
        size = self.size(index)
        found = {**self.objects(index, size), "image_ids": np.array(self.image_ids[index])}
        if self.with_masks:
            masks = [self.object_mask(index, number, size) for number in range(len(found["boxes"]))]
            found["masks"] = np.array(masks, np.uint8).reshape(-1, *size)
        return found

    def objects(self, index: int, size: Size) -> Arrays:
        """The n objects on an image of `size`, in the order of the annotation.

        Returns:
            "boxes" (n, 4) float64, left, top, right, bottom in pixels; "labels" (n,) int64; "crowds" and "difficult"
            (n,) bool; "areas" (n,) float64 in square pixels.
        """
        annotations = self.annotations
        rows = annotations.rows(index)
        boxes = annotations.in_pixels(rows, size)
        sides = boxes[:, 2:] - boxes[:, :2]
        areas = annotations.areas[rows]
        found: Arrays = {
            "boxes": boxes,
            "labels": annotations.labels[rows],
            "crowds": annotations.crowds[rows],
            "difficult": annotations.difficult[rows],
            "areas": np.where(np.isnan(areas), sides.prod(1), areas),
        }
        return found

    def object_mask(self, index: int, number: int, size: Size) -> NDArray[np.uint8]:
        """(height, width) 0 and 1: the mask of object `number` on image `index`, of `size`.

        Raises:
            DataError: it has none, or one that does not fit the image.
        """
        annotations = self.annotations
        row = annotations.rows(index).start + number
        encoded = b"" if annotations.segments is None else annotations.segments[row]
        return read_segment(encoded, size, annotations.place(row, index), relative=annotations.relative)

    def encoded(self, index: int) -> bytes | None:
        return self.on_disk[0].encoded(index)

    def fingerprint(self, index: int) -> bytes:
        """What the annotation says of the image, the same on every machine."""
        annotations = self.annotations
        rows = annotations.rows(index)
        parts = [annotations.sizes[index].astype("<i4"), annotations.boxes[rows].astype("<f8")]
        parts += [annotations.labels[rows].astype("<i8"), annotations.crowds[rows], annotations.difficult[rows]]
        segments = annotations.segments
        masks = [] if segments is None else [segments[row] for row in range(rows.start, rows.stop)]
        return b"\0".join([*(each.tobytes() for each in parts), *masks])

    def name(self, index: int) -> str:
        return str(self.path(index))

    def key(self, index: int) -> bytes:
        return normalized_name(self.annotations.images[index])

    def _check_size(self, index: int, size: Size) -> None:
        annotated = (int(self.annotations.sizes[index][0]), int(self.annotations.sizes[index][1]))
        if 0 not in annotated and annotated != size:
            raise DataError(size_message(self.annotations, index, size))


def size_message(annotations: Annotations, index: int, size: Size) -> str:
    """What is said of an image of another size than its annotation says."""
    height, width = annotations.sizes[index].tolist()
    turned = ", and images are turned as their metadata says" if (width, height) == size else ""
    return (
        f"{annotations.source(index)} says that {annotations.path(index)} has {width} x {height} pixels, and upright "
        f"it has {size[1]} x {size[0]}{turned}: the boxes may be of another one. Annotate it anew, or correct the size."
    )


def open_boxes(listed: ListedBoxes, format: str) -> DatasetSplits:
    """The splits of what was listed, without the boxes that have no area or lie outside of their image, and with those
    that reach out of it cut at its border; notes count and name them.

    Raises:
        DataError: there is no box to learn from, or a class is called background and has boxes.
    """
    annotations, notes = listed.annotations, list(listed.notes)
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


def some(names: Iterable[str], most: int = 8) -> str:
    """The first of `names`, and how many more there are."""
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most:,} more" if len(listed) > most else "")
