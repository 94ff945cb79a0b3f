"""One JSON file in COCO's format (Lin et al. 2014, 1405.0312): its categories and images, checked entry by entry."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from resnets.core.errors import DataError
from resnets.core.files import is_file_name
from resnets.core.typed import short
from resnets.modalities.faults import Faults, refuse
from resnets.modalities.image.datasets.annotations import Size
from resnets.modalities.image.datasets.coco_files import ImageFolder

_LARGEST = 2**63 - 1
Categories = dict[int, str]  # name by id
Entry = dict[str, Any]


@dataclass(frozen=True)
class COCOImage:
    """An image of the file: its id, its name relative to the root, and height and width, 0 where they are not said."""

    id: int
    name: bytes
    size: Size


class COCOFile:
    """One file, parsed.

    Args:
        root: the folder that has all images.
        faults: what would be refused is appended here, and left out.

    Raises:
        DataError: it is no JSON object, has no list of images, or they are nowhere in `root`.
    """

    def __init__(self, root: Path, file: Path, faults: Faults | None) -> None:
        self.root, self.file, self._faults = root, file, faults
        self._data = _parsed(file)
        names = (entry.get("file_name") for _, entry in self.entries("images"))
        self.folder = ImageFolder(root, file, [each for each in names if isinstance(each, str) and is_file_name(each)])

    @property
    def is_panoptic(self) -> bool:
        """Whether its annotations are of whole images, with the segments of each."""
        rows = self._data.get("annotations")
        return isinstance(rows, list) and bool(rows) and isinstance(rows[0], dict) and "segments_info" in rows[0]

    @property
    def source(self) -> bytes:
        """The file relative to the root."""
        return os.fsencode(self.file.relative_to(self.root).as_posix())

    def categories(self, known: Categories | None) -> Categories:
        """The name of each category by its id.

        Args:
            known: those of train; others must be the same.
        """
        found: Categories = {}
        for place, entry in self.entries("categories"):
            number, name = entry.get("id"), entry.get("name")
            if not is_id(number) or not isinstance(name, str) or not name.strip():
                self.refuse("bad_row", f"{place} needs an id, a whole number, and a name.")
                continue
            if number in found or name in found.values():
                self.refuse("bad_row", f"{place}: the id {number} or the name {name} is that of another category.")
                continue
            if known is not None and known.get(number) != name:
                other = known.get(number)
                has = f"calls {other}" if other is not None else "does not have"
                self.refuse("unknown_class", f"{place}: the category {number} is {name}, and train {has} it.")
                continue
            found[number] = name
        if not found and known is None:
            raise DataError(f"{self.file} has no categories, which are its classes.")
        return found if known is None else known

    def images(self, seen: set[bytes]) -> Iterator[COCOImage]:
        """The images, each with an id and a file of its own.

        Args:
            seen: the names of images of other files; those of this one are added.
        """
        ids: set[int] = set()
        for place, entry in self.entries("images"):
            number, text = entry.get("id"), entry.get("file_name")
            name = self.folder.name(text) if isinstance(text, str) and is_file_name(text) else None
            if not is_id(number) or number in ids:
                self.refuse("bad_row", f"{place} has the id {short(number)}, which is no whole number, or another's.")
            elif name is None:
                self.refuse("bad_row", f"{place} has the file_name {short(text)}, which is no file in {self.root}.")
            elif name in seen:
                self.refuse("bad_row", f"{place}: {text} is another image's file too; an image is in one split, once.")
            else:
                ids.add(number)
                seen.add(name)
                yield COCOImage(number, name, (_side(entry.get("height")), _side(entry.get("width"))))

    def entries(self, key: str) -> Iterator[tuple[str, Entry]]:
        """The objects of a list of the file, each with its place.

        Raises:
            DataError: there is no such list.
        """
        rows = self._data.get(key)
        if not isinstance(rows, list):
            raise DataError(f'{self.file} has no list "{key}", which annotations in COCO\'s format have.')
        for number, entry in enumerate(rows):
            own = entry.get("id") if isinstance(entry, dict) else None
            place = f"{self.file}, {key}[{number}]{f' (id {own})' if is_id(own) else ''}"
            if isinstance(entry, dict):
                yield place, entry
            else:
                self.refuse("bad_row", f"{place} is {short(entry)}, and no object.")

    def refuse(self, kind: str, message: str, **more: Any) -> None:
        refuse(self._faults, kind, self.file, message, **more)


def _parsed(file: Path) -> Entry:
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


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of JSON is a number that a coordinate or an area can be."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9  # NaN is not


def is_id(value: Any) -> TypeGuard[int]:
    """Whether a value of JSON is a whole number of 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _side(value: Any) -> int:
    return value if is_id(value) and 0 < value < 2**31 else 0
