"""Images with boxes: boxes that are left out, cut, there twice, tiny or huge; sizes and masks that do not fit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.checks.inventory import Inventory, Sample, from_splits
from resnets.checks.problem import Problem
from resnets.checks.scan import Contents
from resnets.core.errors import DataError
from resnets.modalities.base import DatasetSplits, SplitName, whole
from resnets.modalities.faults import Faults
from resnets.modalities.image.datasets.annotations import Annotations
from resnets.modalities.image.datasets.boxes import size_message
from resnets.modalities.image.datasets.coco import list_coco, open_coco
from resnets.modalities.image.datasets.coco_files import is_panoptic, root_of
from resnets.modalities.image.datasets.listed_boxes import ROUNDING, ListedBoxes
from resnets.modalities.image.datasets.voc import list_voc
from resnets.modalities.image.datasets.yolo import list_yolo
from resnets.modalities.image.segments import read_segment

KINDS = frozenset(
    ("degenerate_box", "outside_box", "duplicate_box", "tiny_box", "huge_box", "bad_row", "mask_size", "mask_value",
     "missing_class")
)  # fmt: skip
TRAINING = (320, 533)  # pixels of the shorter side, and at most of the longer one, at which boxes are trained on
TINY = 3.0  # pixels at that size
HUGE = 0.99  # of the width and of the height of the image
_LISTS: Mapping[str, Callable[[Path, Faults], ListedBoxes]] = {"voc": list_voc, "coco": list_coco, "yolo": list_yolo}


def list_boxes(path: Path, format: str) -> Inventory:
    """The images in `path` and their boxes; of panoptic segmentation, the images and their masks.

    Raises:
        DataError: there are none.
    """
    if format == "coco" and is_panoptic(path):
        return _panoptic(str(root_of(path)), open_coco(path))
    faults: Faults = []
    listed = _LISTS[format](path, faults)
    annotations = listed.annotations
    found = Inventory(annotations.root, format, "image", classes=listed.classes, boxes=annotations)
    for fault in faults:
        related = (fault.image,) if fault.image else ()
        severity = "warning" if fault.is_note else None
        found.add(fault.kind, fault.path, fault.message, *related, box=fault.box, as_severity=severity)
    splits: dict[int, SplitName] = {n: split for split, numbers in listed.splits.items() for n in numbers.tolist()}
    for number, name in enumerate(annotations.images):
        labels = np.unique(annotations.labels[annotations.rows(number)])
        classes = tuple(listed.classes[label] for label in labels.tolist())
        found.samples.append(Sample(os.fsdecode(name), splits[number], classes))
    return found


def _panoptic(root: str, splits: DatasetSplits) -> Inventory:
    """The images and masks of panoptic segmentation."""
    found = from_splits(root, splits)
    places = [(each, number) for each in splits.splits.values() for number in range(len(each))]
    masks = [dataset.mask_path(number) for dataset, number in (whole(*place) for place in places)]
    found.samples = [
        replace(sample, mask=os.path.relpath(path, root)) for sample, path in zip(found.samples, masks, strict=True)
    ]
    found.values = dict(enumerate(found.classes))

    def mask(number: int) -> NDArray[np.uint8]:
        dataset, index = whole(*places[number])
        labels: NDArray[np.uint8] = dataset.mask(index)
        return labels

    found.mask = mask
    return found


def box_problems(inventory: Inventory, contents: Contents) -> Iterator[Problem]:
    """Every problem of a box, by the file that has it; the image is related."""
    annotations = inventory.boxes
    if annotations is None:
        return
    boxes = _Boxes(annotations, contents.upright_sizes())
    yield from boxes.wrong_sizes()
    empty = annotations.degenerate()
    yield from boxes.named(empty, "degenerate_box", "has no area, and is left out")
    limits = boxes.limits
    outside = annotations.outside(limits) & ~empty
    yield from boxes.named(outside, "outside_box", "lies outside of its image, and is left out")
    good = ~(empty | outside)
    out = (annotations.boxes < -ROUNDING * limits) | (annotations.boxes > (1 + ROUNDING) * limits)
    yield from boxes.named(good & out.any(1), "outside_box", "reaches out of its image, and is cut at the border")
    yield from boxes.repeated(good)
    sides = boxes.pixels[:, 2:] - boxes.pixels[:, :2]
    known = good & (boxes.size_of > 0).all(1)
    shorter, longer = boxes.size_of.min(1), boxes.size_of.max(1)
    scale = np.minimum(TRAINING[0] / np.maximum(shorter, 1), TRAINING[1] / np.maximum(longer, 1))
    tiny = known & (sides.min(1) * scale < TINY)
    yield from boxes.named(tiny, "tiny_box", f"has less than {TINY:g} pixels where images have {TRAINING[0]}")
    huge = known & (sides >= HUGE * boxes.size_of[:, ::-1]).all(1)
    yield from boxes.named(huge, "huge_box", "is as large as its image")
    yield from _classes_without_boxes(inventory)
    if not contents.fast:
        yield from boxes.wrong_masks()


def _classes_without_boxes(inventory: Inventory) -> Iterator[Problem]:
    """Classes of which the split that is learnt from has no box. (Those that another split lacks have a check.)"""
    split, root = inventory.training_split, str(inventory.root)
    for name, count in inventory.counts(split).items():
        if not count:
            yield Problem("missing_class", root, f"{root}: {split} has no box of the class {name}.")


class _Boxes:
    """The boxes of an inventory, and the true sizes of their images.

    Args:
        sizes: (N, 2) height and width; 0 where they are not known.
    """

    def __init__(self, annotations: Annotations, sizes: NDArray[np.int64]) -> None:
        self.annotations = annotations
        self.sizes = sizes
        self.image_of = annotations.image_of
        said = annotations.sizes.astype(np.int64)
        self.size_of = np.where(said > 0, said, sizes)[self.image_of]  # (M, 2)
        scale = self.size_of[:, [1, 0, 1, 0]] if annotations.relative else 1
        self.pixels = annotations.boxes * scale

    @property
    def limits(self) -> NDArray[np.float64]:
        """(M, 4) as `Annotations.limits`, with the sizes of files where annotations say none."""
        if self.annotations.relative:
            return self.annotations.limits()
        return np.where(self.size_of > 0, self.size_of, np.inf)[:, [1, 0, 1, 0]]

    def named(self, which: NDArray[np.bool_], kind: str, what: str) -> Iterator[Problem]:
        """A problem for each of the boxes `which`."""
        for row in np.flatnonzero(which).tolist():
            yield self.problem(row, kind, what)

    def problem(self, row: int, kind: str, what: str) -> Problem:
        annotations, image = self.annotations, int(self.image_of[row])
        known = not annotations.relative or bool(self.size_of[row].all())
        left, top, right, bottom = (self.pixels if known else annotations.boxes)[row].tolist()
        corners = ", ".join(f"{value:.6g}" for value in (left, top, right, bottom))
        detail = f"{annotations.place(row, image)} of {annotations.path(image).name} ({corners}) {what}."
        box = (left, top, right, bottom) if known else None
        return Problem(kind, str(annotations.source(image)), detail, (str(annotations.path(image)),), box)

    def repeated(self, good: NDArray[np.bool_]) -> Iterator[Problem]:
        """Boxes of one image with the same corners."""
        annotations = self.annotations
        rows = np.flatnonzero(good)
        keys = np.concatenate([self.image_of[rows, None], annotations.boxes[rows].round(6)], 1)
        order = np.lexsort((rows, *keys.T[::-1]))
        same = (keys[order][1:] == keys[order][:-1]).all(1)
        first = order[0] if len(order) else 0
        for place in range(1, len(order)):
            if not same[place - 1]:
                first = order[place]
                continue
            row, before = int(rows[order[place]]), int(rows[first])
            other = annotations.labels[row] != annotations.labels[before]
            what = (
                f"is the same as {annotations.noun} {annotations.places[before]}{', of another class' if other else ''}"
            )
            yield self.problem(row, "duplicate_box", what)

    def wrong_sizes(self) -> Iterator[Problem]:
        """Images whose size is not what their annotation says, which training refuses."""
        annotations = self.annotations
        said = annotations.sizes
        known = (said > 0).all(1) & (self.sizes > 0).all(1)
        for image in np.flatnonzero(known & (said != self.sizes).any(1)).tolist():
            height, width = self.sizes[image].tolist()
            detail = size_message(annotations, image, (height, width))
            yield Problem("bad_row", str(annotations.source(image)), detail, (str(annotations.path(image)),))

    def wrong_masks(self) -> Iterator[Problem]:
        """Masks of objects that cannot be drawn or have no pixel, where the package that draws them is installed."""
        segments = self.annotations.segments
        if segments is None or find_spec("faster_coco_eval") is None:
            return
        for row in range(len(segments)):
            if not segments[row] or not self.size_of[row].all():
                continue
            height, width = self.size_of[row].tolist()
            try:
                mask = read_segment(segments[row], (height, width), "it", relative=self.annotations.relative)
            except DataError as error:
                what = str(error).removeprefix("it ").rstrip(".")
                yield self.problem(row, "mask_size" if "its image" in what else "mask_value", what)
            else:
                if not mask.any():
                    yield self.problem(row, "mask_value", "has a mask without a pixel")
