"""Images with a class for each pixel in COCO's format of panoptic segmentation (Kirillov et al. 2019, 1801.00868).

A PNG file for each image has the id of the segment that a pixel belongs to, red + 256 green + 65536 blue; a JSON file
says of which category each segment is. Things and stuff are classes alike; pixels of no segment count for nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError
from resnets.core.typed import short
from resnets.modalities.base import Dataset, DatasetSplits, SplitName, Subset
from resnets.modalities.file_names import Names
from resnets.modalities.image.datasets.coco_files import find_panoptic, root_of
from resnets.modalities.image.datasets.coco_json import Categories, COCOFile, Entry, is_id
from resnets.modalities.image.datasets.with_masks import ImagesWithMasks
from resnets.modalities.image.read import decode_memory
from resnets.modalities.image.read.mask import VOID
from resnets.modalities.image.read.pillow import named_errors, read_header


@dataclass(frozen=True, eq=False)
class PanopticDataset(ImagesWithMasks):
    """Images and the segments of their pixels.

    Args:
        category_ids: what the data calls each class.
        offsets: (N + 1,) the segments of image i are those from `offsets[i]` to `offsets[i + 1]`.
        ids: (M,) of the segments, rising within an image; `labels` (M,) are the numbers of their classes.
    """

    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    offsets: NDArray[np.int64]
    ids: NDArray[np.int64]
    labels: NDArray[np.uint8]

    def mask(self, index: int) -> NDArray[np.uint8]:
        """(H, W) class numbers; `VOID` where a pixel belongs to no segment.

        Raises:
            DataError: the mask is damaged, not in RGB, or has a segment that the JSON file does not list.
        """
        path = str(self.mask_path(index))
        with named_errors(path), decode_memory.one_image():
            image = read_header(Path(path), path)
            if image.mode not in ("RGB", "RGBA"):
                raise DataError(f"{path} is of mode {image.mode}: ids of segments are red, green and blue.")
            decode_memory.reserve_for(image, path)
            pixels = np.asarray(image.convert("RGB"), np.int64)
        found, places = np.unique(pixels @ np.array([1, 2**8, 2**16]), return_inverse=True)
        rows = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        ids = np.concatenate([[0], self.ids[rows]])
        numbers = np.minimum(np.searchsorted(ids, found), len(ids) - 1)
        if (unknown := found[ids[numbers] != found]).size:
            raise DataError(f"{path} has the segment {unknown[0]}, which the JSON file does not list.")
        labels = np.concatenate([np.array([VOID], np.uint8), self.labels[rows]])
        return np.asarray(labels[numbers][places].reshape(pixels.shape[:2]))

    def fingerprint(self, index: int) -> bytes:
        """The ids and classes of the segments, the same on every machine."""
        rows = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return self.ids[rows].astype("<i8").tobytes() + self.labels[rows].tobytes()


def open_panoptic(path: Path) -> DatasetSplits:
    """The images of the JSON files of panoptic segmentation in `path`, or of the one that `path` is, and the PNG files
    in the folder beside each that is called as it is.

    Raises:
        DataError: an entry is wrong, or there are more classes than a mask can have.
    """
    root = root_of(path)
    categories: Categories | None = None
    numbers: dict[SplitName, NDArray[np.int64]] = {}
    images: list[bytes] = []
    masks: list[bytes] = []
    rows: list[list[tuple[int, int]]] = []
    seen: set[bytes] = set()
    files = find_panoptic(path)
    for split in sorted(files, key=lambda each: each != "train"):
        file = COCOFile(root, files[split], None)
        categories = file.categories(categories)
        order = {number: place for place, number in enumerate(sorted(categories))}
        folder = os.fsencode(files[split].with_suffix("").relative_to(root).as_posix())
        of_image = {image: (png, segments) for image, png, segments in _segments(file, order)}
        start = len(images)
        for image in file.images(seen):
            if image.id not in of_image:
                raise DataError(f"{file.file}: the image {image.id} has no annotation.")
            png, segments = of_image[image.id]
            images.append(image.name)
            masks.append(folder + b"/" + os.fsencode(png))
            rows.append(segments)
        numbers[split] = np.arange(start, len(images))
    assert categories is not None
    names = tuple(categories[number] for number in sorted(categories))
    if len(names) > VOID:
        raise DataError(f"{path} has {len(names)} categories; at most {VOID} are possible.")
    whole = PanopticDataset(
        root, Names.of(images), Names.of(masks), names, tuple(sorted(categories)),
        np.cumsum([0, *map(len, rows)]), np.array([each for row in rows for each, _ in row], np.int64),
        np.array([label for row in rows for _, label in row], np.uint8),
    )  # fmt: skip
    splits: dict[SplitName, Dataset] = {
        split: whole if len(part) == len(whole) else Subset(whole, part) for split, part in numbers.items() if len(part)
    }
    return DatasetSplits(splits, format="coco")


def _segments(file: COCOFile, order: Mapping[int, int]) -> list[tuple[int, str, list[tuple[int, int]]]]:
    """The image, the PNG file, and the id and class of each segment, rising, of each annotation."""
    found = []
    for place, row in file.entries("annotations"):
        image, png, segments = row.get("image_id"), row.get("file_name"), row.get("segments_info")
        if (
            not is_id(image)
            or not isinstance(png, str)
            or os.path.basename(png) != png
            or not isinstance(segments, list)
        ):
            raise DataError(f"{place} needs image_id, the file_name of a PNG and segments_info.")
        pairs = {}
        for segment in segments:
            own: Entry = segment if isinstance(segment, dict) else {}
            number, category = own.get("id"), own.get("category_id")
            label = order.get(category) if is_id(category) else None
            if not is_id(number) or not 0 < number < 2**24 or number in pairs or label is None:
                what = "a segment with a wrong or repeated id, or of no category"
                raise DataError(f"{place} has {what}: {short(segment)}.")
            pairs[number] = label
        found.append((image, png, sorted(pairs.items())))
    return found
