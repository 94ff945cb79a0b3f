"""Images with boxes and masks of objects in COCO's format: a JSON file for each split."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError
from resnets.core.typed import short
from resnets.core.units import some
from resnets.modalities.base import DatasetSplits, SplitName
from resnets.modalities.faults import Faults, refuse
from resnets.modalities.image.datasets.annotations import AnnotationsBuilder, Box, Size
from resnets.modalities.image.datasets.coco_files import find_annotations, is_panoptic, root_of, without_entry
from resnets.modalities.image.datasets.coco_json import Categories, COCOFile, Entry, is_id, is_number
from resnets.modalities.image.datasets.listed_boxes import ListedBoxes, in_order, open_boxes
from resnets.modalities.image.datasets.panoptic import open_panoptic
from resnets.modalities.image.segments import encode_segment
from resnets.modalities.table_dataset import check_files


def open_coco(path: Path) -> DatasetSplits:
    """The splits of the JSON files in `path`, or of the one that `path` is: images with boxes, or, where there are no
    others than those of panoptic segmentation, with masks of classes."""
    return open_panoptic(path) if is_panoptic(path) else open_boxes(list_coco(path), "coco")


def list_coco(path: Path, faults: Faults | None = None) -> ListedBoxes:
    """The images and boxes of the JSON files in `path`, or of the one that `path` is; see
    `coco_files.find_annotations`.

    The classes are the categories of train in the order of their ids, whatever gaps these have. Other splits must have
    the same ids for the same names.

    Args:
        faults: what would be refused is appended here, and left out.

    Raises:
        DataError: nothing is found, an image is not there, or an entry is wrong; the message has its number.
    """
    root, files = root_of(path), find_annotations(path)
    builder = AnnotationsBuilder(root, "annotation")
    categories: Categories | None = None
    splits: dict[SplitName, NDArray[np.int64]] = {}
    folders: dict[Path, None] = {}
    seen: set[bytes] = set()
    for split in sorted(files, key=lambda each: each != "train"):
        file = COCOFile(root, files[split], faults)
        if file.is_panoptic:
            raise DataError(f"{file.file} is of panoptic segmentation: call it so, such as panoptic_train.json.")
        categories = file.categories(categories)
        start = len(builder.images)
        _add_file(builder, file, categories, seen)
        splits[split] = np.arange(start, len(builder.images))
        folders[file.folder.path] = None
        del file  # which may be large, before the next is parsed
    assert categories is not None
    notes = _notes_on_unlisted(root, list(folders), seen, faults)
    _check_files(root, builder, faults)
    order = sorted(categories)
    return ListedBoxes(
        builder.build(), tuple(categories[each] for each in order), tuple(order), in_order(splits), tuple(notes)
    )


def _add_file(builder: AnnotationsBuilder, file: COCOFile, categories: Categories, seen: set[bytes]) -> None:
    """Adds the images of a file with their boxes."""
    of_image = _by_image(file)
    numbers = {number: place for place, number in enumerate(sorted(categories))}
    for image in file.images(seen):
        builder.add_image(image.name, file.source, image.size, image.id)
        for place, row in of_image.pop(image.id, ()):
            _add_box(builder, file, place, row, numbers, image.size)
    for rows in of_image.values():
        for place, row in rows:
            message = f"{place} is of the image {short(row['image_id'])}, which is not listed."
            file.refuse("orphan_annotation", message)


def _by_image(file: COCOFile) -> dict[int, list[tuple[str, Entry]]]:
    """The annotations of each image, with their places."""
    found: dict[int, list[tuple[str, Entry]]] = {}
    ids: set[int] = set()
    for place, row in file.entries("annotations"):
        number, image = row.get("id"), row.get("image_id")
        if not is_id(number) or number in ids:
            file.refuse("bad_row", f"{place} has the id {short(number)}, which is no whole number, or another's.")
        elif not is_id(image):
            file.refuse("bad_row", f"{place} has no image_id that is a whole number, but {short(image)}.")
        else:
            ids.add(number)
            found.setdefault(image, []).append((place, row))
    return found


def _add_box(
    builder: AnnotationsBuilder, file: COCOFile, place: str, row: Entry, numbers: Mapping[int, int], size: Size
) -> None:
    """Adds a box of the image that was added last."""
    category, box, segment, crowd = (row.get(key) for key in ("category_id", "bbox", "segmentation", "iscrowd"))
    sides = _box(box)

    def refuse_it(kind: str, what: str) -> None:
        image = os.path.join(file.root, os.fsdecode(builder.images[-1]))
        file.refuse(kind, f"{place} has {what}", image=image, box=sides)

    encoded = b""
    if segment:
        try:
            encoded = encode_segment(segment, size if all(size) else None)
        except ValueError as error:
            what = str(error).removeprefix("has ")
            return refuse_it("mask_size" if "its image" in what else "mask_value", what)
    if not is_id(category) or category not in numbers:
        return refuse_it("unknown_class", f"the category_id {short(category)}, which is no category.")
    if sides is None:
        return refuse_it("bad_row", f"the bbox {short(box)}, which is not four numbers: x, y, width, height.")
    if crowd not in (None, 0, 1):
        return refuse_it("bad_row", f"iscrowd {short(crowd)}, which is 0 or 1.")
    area = row.get("area")
    area = float(area) if is_number(area) else math.nan
    return builder.add_box(numbers[category], sides, row["id"], crowd=bool(crowd), area=area, segment=encoded)


def _box(value: Any) -> Box | None:
    """Left, top, right and bottom of COCO's left, top, width and height."""
    if not isinstance(value, list) or len(value) != 4 or not all(map(is_number, value)):
        return None
    left, top, width, height = value
    return float(left), float(top), float(left + width), float(top + height)


def _notes_on_unlisted(root: Path, folders: list[Path], listed: set[bytes], faults: Faults | None) -> list[str]:
    """A note on each folder of images with some that no file lists, which may be without objects or forgotten."""
    notes = []
    for folder in folders:
        if unlisted := without_entry(root, folder, listed):
            shown = some((path.name for path in unlisted), 4)
            notes.append(f"{folder}: images that no annotation lists were left out ({len(unlisted):,}): {shown}.")
            for path in unlisted if faults is not None else ():
                refuse(
                    faults, "missing_annotation", path, f"{path} is in no list of images, and left out.", is_note=True
                )
    return notes


def _check_files(root: Path, builder: AnnotationsBuilder, faults: Faults | None) -> None:
    """Refuses images that are not there; where faults are collected, reading finds them."""
    missing = check_files(root, [os.fsdecode(name) for name in builder.images]).missing
    if missing and faults is None:
        path = root / os.fsdecode(builder.images[missing[0]])
        count = f"{len(missing):,} of {len(builder.images):,} images that are listed"
        raise DataError(f"{count} are not there, such as {path}. Put them there, or take them off the list.")
