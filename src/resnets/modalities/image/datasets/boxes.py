"""Images with boxes, and with a mask for each box where there are any: what lies on each image, and of which class.

`voc`, `coco` and `yolo` read the annotations; what they give is the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.core.errors import DataError
from resnets.modalities.base import Arrays, OnDisk
from resnets.modalities.file_names import normalized_name
from resnets.modalities.image.datasets.annotations import Annotations, Size
from resnets.modalities.image.preprocessing import Background, Color
from resnets.modalities.image.read.orientation import upright_size
from resnets.modalities.image.read.pillow import open_image, read_header
from resnets.modalities.image.segments import read_segment


@dataclass(frozen=True, eq=False)
class BoxDataset:
    """Images with boxes, read from their files one at a time.

    Args:
        annotations: without boxes of zero size and outside of their images; no box reaches out of its image.
        classes: without a background, which is what has no box.
        category_ids: what the data calls each class, such as COCO's numbers, which have gaps.
        with_masks: whether targets have the mask of each object.
        is_of_one_class: whether all boxes of an image are of one class, of which it is an image.
    """

    annotations: Annotations
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    with_masks: bool = False
    is_of_one_class: bool = False

    @property
    def modality(self) -> str:
        return "image"

    @property
    def task(self) -> str:
        return "localization" if self.is_of_one_class else "detection"

    @property
    def targets(self) -> Mapping[str, NDArray[Any]]:
        return {}

    @property
    def strata(self) -> NDArray[np.int64]:
        annotations = self.annotations
        return annotations.labels[annotations.offsets[:-1]] if self.is_of_one_class else np.zeros(len(self), np.int64)

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

    def of_one_class(self) -> BoxDataset:
        """The dataset of images of one class each, whose targets have the size of the image too.

        Raises:
            DataError: an image has no box, or boxes of several classes.
        """
        annotations = self.annotations
        single = ~annotations.crowds
        counts = np.bincount(annotations.image_of[single], minlength=len(self))
        if len(empty := np.flatnonzero(counts == 0)):
            raise DataError(
                f"Images without a box ({len(empty):,}), such as {self.path(int(empty[0]))}: for localization each "
                "image has a class. Take them out, or train a detector."
            )
        first = annotations.labels[annotations.offsets[:-1]][annotations.image_of]
        if len(others := np.flatnonzero(annotations.labels != first)):
            image = int(annotations.image_of[others[0]])
            names = sorted({self.classes[label] for label in annotations.labels[annotations.rows(image)]})
            raise DataError(
                f"Images with boxes of several classes ({len(np.unique(annotations.image_of[others])):,}), such as "
                f"{self.path(image)} ({', '.join(names)}): for localization each image has one. Train a detector."
            )
        return replace(self, is_of_one_class=True)

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
        if self.is_of_one_class:
            found["sizes"] = np.array(size)
        if self.with_masks:
            masks = [self.object_mask(index, number, size) for number in range(len(found["boxes"]))]
            found["masks"] = np.array(masks, np.uint8).reshape(-1, *size)
        return found

    def check_target(self, index: int) -> None:
        """Raises what `target` raises, with one mask in memory at a time."""
        size = self.size(index)
        for number in range(len(self.objects(index, size)["boxes"]) if self.with_masks else 0):
            self.object_mask(index, number, size)

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
        return {
            "boxes": boxes,
            "labels": annotations.labels[rows],
            "crowds": annotations.crowds[rows],
            "difficult": annotations.difficult[rows],
            "areas": np.where(np.isnan(areas), sides.prod(1), areas),
        }

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
