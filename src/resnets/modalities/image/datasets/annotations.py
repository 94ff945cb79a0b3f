"""The boxes of many images in a few arrays, as annotation files have them: nothing is corrected or left out yet."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.modalities.file_names import Names

Box = tuple[float, float, float, float]  # x1, y1, x2, y2
Size = tuple[int, int]  # height and width in pixels


@dataclass(frozen=True, eq=False)
class Annotations:
    """N images with M boxes; those of image i are the rows from `offsets[i]` to `offsets[i + 1]`.

    Args:
        root: the folder that all names are relative to.
        images: (N,) names of the images.
        sources: (N,) the file that annotates each image; b"" where it has none.
        sizes: (N, 2) int32 height and width as the annotation says; 0 where it does not say.
        ids: (N,) int64, what the data calls each image.
        offsets: (N + 1,) int64, rising.
        boxes: (M, 4) float64: left, top, right and bottom, in pixels of the upright image from its upper left corner.
        labels: (M,) int64 numbers of classes.
        crowds: (M,) bool, whether a box is of a group of objects (COCO's `iscrowd`).
        difficult: (M,) bool, whether an object counts neither as found nor as missed (VOC's `difficult`).
        areas: (M,) float64 of the objects, in square pixels; NaN for that of the box.
        places: (M,) int64 number of each box in its file.
        noun: what its file calls a box with that number, such as "object".
        segments: (M,) the mask of each object, by `segments.encode_segment`; b"" where it has none; None where there
            are none at all.
        relative: whether boxes and polygons are in fractions of the image's width and height, not in pixels.
    """

    root: Path
    images: Names
    sources: Names
    sizes: NDArray[np.int32]
    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    crowds: NDArray[np.bool_]
    difficult: NDArray[np.bool_]
    areas: NDArray[np.float64]
    places: NDArray[np.int64]
    noun: str
    segments: Names | None = None
    relative: bool = False

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, image: int) -> slice:
        """The rows of the boxes of an image."""
        return slice(int(self.offsets[image]), int(self.offsets[image + 1]))

    @property
    def image_of(self) -> NDArray[np.int64]:
        """(M,) the number of the image of each box."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def place(self, row: int, image: int) -> str:
        """What messages call a box, such as "Annotations/1.xml, object 3"."""
        return f"{self.source(image)}, {self.noun} {self.places[row]}"

    def path(self, image: int) -> Path:
        return self.root / self.images[image].decode(errors="surrogateescape")

    def source(self, image: int) -> Path:
        """The file that annotates an image; the image itself where there is none."""
        name = self.sources[image]
        return self.root / name.decode(errors="surrogateescape") if name else self.path(image)

    def in_pixels(self, row_or_rows: Any, size: Size) -> NDArray[np.float64]:
        """(4,) or (..., 4) boxes in pixels of an image of `size`, whatever they are stored in."""
        boxes = self.boxes[row_or_rows]
        return np.asarray(boxes * np.array([size[1], size[0]] * 2) if self.relative else boxes)

    def limits(self) -> NDArray[np.float64]:
        """(M, 4) the right and the bottom border of the image of each box, twice, in the unit of the boxes; infinite
        where no annotation says the size."""
        if self.relative:
            return np.ones((len(self.boxes), 4))
        sizes = np.where(self.sizes > 0, self.sizes, np.inf)[self.image_of]
        return np.asarray(sizes[:, [1, 0, 1, 0]])

    def degenerate(self) -> NDArray[np.bool_]:
        """(M,) whether a box has no area."""
        left, top, right, bottom = self.boxes.T
        return np.asarray(~((right > left) & (bottom > top)))

    def outside(self, limits: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(M,) whether a box has no point in its image."""
        left, top, right, bottom = self.boxes.T
        return np.asarray((right <= 0) | (bottom <= 0) | (left >= limits[:, 0]) | (top >= limits[:, 1]))

    def with_boxes(self, kept: NDArray[np.bool_]) -> Annotations:
        """The annotations with some of the boxes, and with all images.

        Args:
            kept: (M,)
        """
        counts = np.bincount(self.image_of[kept], minlength=len(self))
        numbers = np.flatnonzero(kept)
        return replace(
            self,
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            **{name: getattr(self, name)[numbers] for name in _OF_BOXES},
            segments=None if self.segments is None else self.segments[numbers],
        )


_OF_BOXES = ("boxes", "labels", "crowds", "difficult", "areas", "places")


@dataclass
class AnnotationsBuilder:
    """Collects images, each followed by its boxes.

    Args:
        noun, relative: of the annotations.
    """

    root: Path
    noun: str
    relative: bool = False
    images: list[bytes] = field(default_factory=list)
    sources: list[bytes] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=lambda: [0])
    boxes: list[Box] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    crowds: list[bool] = field(default_factory=list)
    difficult: list[bool] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    segments: list[bytes] = field(default_factory=list)

    def add_image(self, name: bytes, source: bytes, size: Size = (0, 0), id: int | None = None) -> None:
        self.images.append(name)
        self.sources.append(source)
        self.sizes.append(size)
        self.ids.append(len(self.images) if id is None else id)
        self.offsets.append(len(self.boxes))

    def add_box(
        self,
        label: int,
        box: Box,
        place: int,
        *,
        crowd: bool = False,
        difficult: bool = False,
        area: float = np.nan,
        segment: bytes = b"",
    ) -> None:
        """Adds a box of the image that was added last.

        Args:
            segment: by `segments.encode_segment`.
        """
        self.boxes.append(box)
        self.labels.append(label)
        self.crowds.append(crowd)
        self.difficult.append(difficult)
        self.areas.append(area)
        self.places.append(place)
        self.segments.append(segment)
        self.offsets[-1] += 1

    def build(self) -> Annotations:
        return Annotations(
            root=self.root,
            images=Names.of(self.images),
            sources=Names.of(self.sources),
            sizes=np.array(self.sizes, np.int32).reshape(-1, 2),
            ids=np.array(self.ids, np.int64),
            offsets=np.array(self.offsets, np.int64),
            boxes=np.array(self.boxes, np.float64).reshape(-1, 4),
            labels=np.array(self.labels, np.int64),
            crowds=np.array(self.crowds, np.bool_),
            difficult=np.array(self.difficult, np.bool_),
            areas=np.array(self.areas, np.float64),
            places=np.array(self.places, np.int64),
            noun=self.noun,
            segments=Names.of(self.segments) if any(self.segments) else None,
            relative=self.relative,
        )
