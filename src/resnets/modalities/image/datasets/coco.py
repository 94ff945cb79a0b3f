"""Images with boxes and masks in COCO's format (Lin et al. 2014, 1405.0312): a JSON file for each split."""

from __future__ import annotations

import gc
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError
from resnets.core.typed import short
from resnets.modalities.base import SplitName
from resnets.modalities.faults import Faults, refuse
from resnets.modalities.image.datasets.annotations import AnnotationsBuilder, Box
from resnets.modalities.image.datasets.boxes import ListedBoxes, some
from resnets.modalities.image.datasets.coco_files import ANNOTATIONS, ImageFolder, find_annotations, without_entry
from resnets.modalities.image.segments import encode_segment
from resnets.modalities.table_dataset import check_files

_LARGEST = 2**63 - 1
Categories = dict[int, str]  # name by id


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
    root = path
    if path.is_file():
        root = path.parent.parent if path.parent.name == ANNOTATIONS else path.parent
    files = find_annotations(path)
    builder = AnnotationsBuilder(root, "annotation")
    categories: Categories | None = None
    splits: dict[SplitName, NDArray[np.int64]] = {}
    folders: dict[Path, None] = {}
    first: dict[bytes, int] = {}
    for split in sorted(files, key=lambda each: each != "train"):
        file = files[split]
        reader = _JSONFile(root, file, faults)
        categories = reader.categories(categories)
        start = len(builder.images)
        reader.add_to(builder, categories, first)
        splits[split] = np.arange(start, len(builder.images))
        folders[reader.folder.path] = None
        del reader
    assert categories is not None
    notes = _notes_on_unlisted(root, list(folders), first, faults)
    _check_files(root, builder, faults)
    order = sorted(categories)
    return ListedBoxes(
        builder.build(), tuple(categories[each] for each in order), tuple(order), _in_order(splits), tuple(notes)
    )


class _JSONFile:
    """One file, parsed."""

    def __init__(self, root: Path, file: Path, faults: Faults | None) -> None:
        self.root, self.file, self._faults = root, file, faults
        self._data = _parsed(file)
        rows = self._data.get("annotations")
        if isinstance(rows, list) and rows and isinstance(rows[0], dict) and "segments_info" in rows[0]:
            raise DataError(f"{file} is of panoptic segmentation, which is not read: give the file of the instances.")
        images = [entry for _, entry in self._entries("images")]
        names = [name for entry in images if isinstance(name := entry.get("file_name"), str)]
        self.folder = ImageFolder(root, file, names)

    def categories(self, known: Categories | None) -> Categories:
        """The name of each category by its id.

        Args:
            known: those of train; others must be the same.
        """
        found: Categories = {}
        for place, entry in self._entries("categories"):
            number, name = entry.get("id"), entry.get("name")
            if not _is_id(number) or not isinstance(name, str) or not name.strip():
                self._refuse("bad_row", f"{place} needs an id, a whole number, and a name.")
                continue
            if number in found or name in found.values():
                self._refuse("bad_row", f"{place}: the id {number} or the name {name} is that of another category.")
                continue
            if known is not None and known.get(number) != name:
                other = known.get(number)
                has = f"calls {other}" if other is not None else "does not have"
                self._refuse("unknown_class", f"{place}: the category {number} is {name}, and train {has} it.")
                continue
            found[number] = name
        if not found and known is None:
            raise DataError(f"{self.file} has no categories, which are its classes.")
        return found if known is None else known

    def add_to(self, builder: AnnotationsBuilder, categories: Categories, first: dict[bytes, int]) -> None:
        """Adds the images of the file with their boxes.

        Args:
            first: the number in `builder` of each image that is there already, by its name.
        """
        of_image = self._by_image()
        numbers = {number: place for place, number in enumerate(sorted(categories))}
        ids: set[int] = set()
        source = os.fsencode(self.file.relative_to(self.root).as_posix())
        for place, entry in self._entries("images"):
            number, text = entry.get("id"), entry.get("file_name")
            name = self.folder.name(text) if isinstance(text, str) and text else None
            if not _is_id(number) or number in ids:
                self._refuse("bad_row", f"{place} has the id {short(number)}, which is no whole number, or another's.")
            elif name is None:
                self._refuse("bad_row", f"{place} has the file_name {short(text)}, which is no file in {self.root}.")
            elif name in first:
                self._refuse("bad_row", f"{place}: {text} is another image's file too; an image is in one split, once.")
            else:
                ids.add(number)
                first[name] = len(builder.images)
                size = (_side(entry.get("height")), _side(entry.get("width")))
                builder.add_image(name, source, size, number)
                for where, row in of_image.pop(number, ()):
                    self._add_box(builder, where, row, numbers, size)
        for rows in of_image.values():
            for where, row in rows:
                self._refuse(
                    "orphan_annotation", f"{where} is of the image {short(row['image_id'])}, which is not listed."
                )

    def _by_image(self) -> dict[int, list[tuple[str, dict[str, Any]]]]:
        """The annotations of each image, with their places."""
        found: dict[int, list[tuple[str, dict[str, Any]]]] = {}
        ids: set[int] = set()
        for place, row in self._entries("annotations"):
            number, image = row.get("id"), row.get("image_id")
            if not _is_id(number) or number in ids:
                self._refuse("bad_row", f"{place} has the id {short(number)}, which is no whole number, or another's.")
            elif not _is_id(image):
                self._refuse("bad_row", f"{place} has no image_id that is a whole number, but {short(image)}.")
            else:
                ids.add(number)
                found.setdefault(image, []).append((place, row))
        return found

    def _add_box(
        self,
        builder: AnnotationsBuilder,
        place: str,
        row: dict[str, Any],
        numbers: Mapping[int, int],
        size: tuple[int, int],
    ) -> None:
        category, box = row.get("category_id"), _box(row.get("bbox"))
        segment = row.get("segmentation")
        if not _is_id(category) or category not in numbers:
            where = {"image": os.path.join(self.root, os.fsdecode(builder.images[-1])), "box": box}
            self._refuse(
                "unknown_class", f"{place} has the category_id {short(category)}, which is no category.", **where
            )
            return
        if box is None:
            message = f"{place} has the bbox {short(row.get('bbox'))}, which is not four numbers: x, y, width, height."
            self._refuse("bad_row", message)
            return
        try:
            encoded = encode_segment(segment, size if all(size) else None) if segment else b""
        except ValueError as error:
            where = {"image": os.path.join(self.root, os.fsdecode(builder.images[-1])), "box": box}
            self._refuse("mask_size" if "its image" in str(error) else "mask_value", f"{place} {error}", **where)
            return
        crowd = row.get("iscrowd", 0)
        if crowd not in (0, 1):
            self._refuse("bad_row", f"{place} has iscrowd {short(crowd)}, which is 0 or 1.")
            return
        area = row.get("area")
        area = float(area) if _is_number(area) else math.nan
        builder.add_box(numbers[category], box, row["id"], crowd=bool(crowd), area=area, segment=encoded)

    def _entries(self, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The objects of a list of the file, each with its place.

        Raises:
            DataError: there is no such list.
        """
        rows = self._data.get(key)
        if not isinstance(rows, list):
            raise DataError(f'{self.file} has no list "{key}", which annotations in COCO\'s format have.')
        for number, entry in enumerate(rows):
            own = entry.get("id") if isinstance(entry, dict) else None
            place = f"{self.file}, {key}[{number}]{f' (id {own})' if _is_id(own) else ''}"
            if isinstance(entry, dict):
                yield place, entry
            else:
                self._refuse("bad_row", f"{place} is {short(entry)}, and no object.")

    def _refuse(self, kind: str, message: str, **more: Any) -> None:
        refuse(self._faults, kind, self.file, message, **more)


def _parsed(file: Path) -> dict[str, Any]:
    """Raises DataError where the file is no JSON object."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    collecting = gc.isenabled()
    gc.disable()  # millions of small objects, none of them garbage: collecting takes half of the time
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        cut = " It may be truncated: copy it anew." if error.pos >= len(error.doc.rstrip()) - 1 else ""
        raise DataError(f"{file}, line {error.lineno}, column {error.colno} is no JSON: {error.msg}.{cut}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is no JSON: {error}.") from None
    finally:
        if collecting:
            gc.enable()
    if not isinstance(found, dict):
        raise DataError(f"{file} is a JSON {type(found).__name__}: annotations in COCO's format are an object.")
    return found


def _box(value: Any) -> Box | None:
    """Left, top, right and bottom of COCO's left, top, width and height."""
    if not isinstance(value, list) or len(value) != 4 or not all(map(_is_number, value)):
        return None
    left, top, width, height = value
    return float(left), float(top), float(left + width), float(top + height)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9  # NaN is not


def _is_id(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _side(value: Any) -> int:
    return value if _is_id(value) and 0 < value < 2**31 else 0


def _notes_on_unlisted(
    root: Path, folders: list[Path], listed: Mapping[bytes, int], faults: Faults | None
) -> list[str]:
    """A note on each folder of images with some that no file lists, which may be without objects or forgotten."""
    notes = []
    for folder in folders:
        if unlisted := without_entry(root, folder, listed):
            shown = some((path.name for path in unlisted), 4)
            notes.append(f"{folder}: images that no annotation lists were left out ({len(unlisted):,}): {shown}.")
            for path in unlisted if faults is not None else ():
                refuse(faults, "missing_annotation", path, f"{path} is in no list of images, and left out.")
    return notes


def _check_files(root: Path, builder: AnnotationsBuilder, faults: Faults | None) -> None:
    """Refuses images that are not there (where faults are collected, reading finds them), or outside of the folder."""
    found = check_files(root, [os.fsdecode(name) for name in builder.images])
    outside = [root / os.fsdecode(builder.images[number]) for number in found.outside]
    for path in outside:
        refuse(faults, "bad_row", path, f"{path} is a link to a file outside {root}: put the file there.")
    if found.missing and faults is None:
        path = root / os.fsdecode(builder.images[found.missing[0]])
        count = f"{len(found.missing):,} of {len(builder.images):,} images that are listed"
        raise DataError(f"{count} are not there, such as {path}. Put them there, or take them off the list.")


def _in_order(splits: Mapping[SplitName, NDArray[np.int64]]) -> dict[SplitName, NDArray[np.int64]]:
    names: tuple[SplitName, ...] = ("train", "val", "test", "all")
    return {split: splits[split] for split in names if split in splits and len(splits[split])}
