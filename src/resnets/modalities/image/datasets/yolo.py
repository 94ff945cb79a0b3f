"""Images with boxes or polygons as YOLO has them: a text file of labels for each image, in fractions of its size."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from resnets.core.errors import DataError
from resnets.core.units import show_count, some
from resnets.modalities.base import SplitName
from resnets.modalities.class_names import note_on_alike
from resnets.modalities.faults import Faults, refuse, remark
from resnets.modalities.file_names import normalized_name
from resnets.modalities.image.datasets.annotations import AnnotationsBuilder, Box
from resnets.modalities.image.datasets.listed_boxes import ListedBoxes, in_order
from resnets.modalities.image.datasets.yolo_yaml import YOLOFile, place_of, read_yaml, yaml_files
from resnets.modalities.image.read.orientation import upright_size
from resnets.modalities.image.read.pillow import read_header
from resnets.modalities.image.segments import encode_segment
from resnets.modalities.listing import IMAGES, FileKind, Listing

LABELS = FileKind("label files", ".txt", frozenset({".txt"}))
_PIXELS = 2.0  # a fraction above it is a number of pixels
_LARGEST = 2**24  # bytes of the labels of one image
_NO_LABELS = frozenset({"classes.txt", "readme.txt", "notes.txt"})


def looks_like_yolo(path: Path) -> bool:
    """Whether `path` is a YAML file with names of classes, or a folder with one and with `images/` or folders of
    splits that hold them."""
    if not yaml_files(path):
        return False
    root = path.parent if path.is_file() else path
    return (root / "images").is_dir() or any(inner.is_dir() for inner in root.glob("*/images"))


def list_yolo(path: Path, faults: Faults | None = None) -> ListedBoxes:
    """The images of the YAML file `path`, or of the one in the folder `path`, and the boxes of their label files.

    The labels of `images/a/1.jpg` are in `labels/a/1.txt`, a line each: the number of the class, then centre x,
    centre y, width and height of the box, or x and y of each corner of a polygon, all in fractions of the image's width
    and height. An image without a label file has no objects. The splits are those of the YAML file; where it names none
    that is there, `images/` is taken whole, as the split "all".

    Args:
        faults: what would be refused is appended here, and left out.

    Raises:
        DataError: nothing is found, a label file has no image, or a line is wrong; the message has the line.
        UsageError: PyYAML is not installed.
    """
    file = _yaml_of(path)
    root, given = file.parent, read_yaml(file)
    notes: list[str] = []
    listed = _splits(root, file, given, notes, faults)
    if not any(listed.values()):
        raise DataError(f"{file}: there are no images in {', '.join(_places(given)) or 'images/'}.")
    builder = AnnotationsBuilder(root, "line", relative=True)
    numbers = {number: place for place, number in enumerate(given.names)}
    splits = {}
    without = 0
    for split, names in listed.items():
        start = len(builder.images)
        for name in names:
            label = label_name(name)
            there = (root / os.fsdecode(label)).is_file()
            without += not there
            builder.add_image(name, label if there else b"")
            if there:
                _add_boxes(builder, root / os.fsdecode(label), numbers, given, faults)
        splits[split] = np.arange(start, len(builder.images))
    if without:
        count = show_count(without, "image")
        message = f"{root}: {count} without a label file, which is taken to mean without objects."
        remark(notes, faults, "missing_annotation", root, message)
    _refuse_orphans(root, builder, faults)
    classes = tuple(given.names.values())
    notes += note_on_alike(classes, str(file))
    return ListedBoxes(builder.build(), classes, tuple(given.names), in_order(splits), tuple(notes))


def _yaml_of(path: Path) -> Path:
    if path.is_file():
        return path
    files = yaml_files(path)
    if not files:
        raise DataError(f"{path} has no YAML file with the names of the classes, such as data.yaml with names: [a, b].")
    if len(files) > 1:
        listed = " and ".join(each.name for each in files[:4])
        raise DataError(f"{path} holds {listed}: give the file that is meant, such as {files[0]}.")
    return files[0]


def _places(given: YOLOFile) -> list[str]:
    return [place for places in given.splits.values() for place in places]


def _splits(
    root: Path, file: Path, given: YOLOFile, notes: list[str], faults: Faults | None
) -> dict[SplitName, list[bytes]]:
    """The images of each split, each in one."""
    found: dict[SplitName, list[bytes]] = {}
    absent: list[str] = []
    first: dict[bytes, SplitName] = {}
    for split, places in given.splits.items():
        for text in places:
            place = place_of(root, given, text)
            if place is None:
                absent.append(text)
                continue
            for name in _images(root, place, notes, faults):
                if first.setdefault(name, split) != split:
                    message = (
                        f"{file}: {os.fsdecode(name)} is in {first[name]} and in {split}: put it into one of them."
                    )
                    refuse(faults, "split_leak", root / os.fsdecode(name), message)
                else:
                    found.setdefault(split, []).append(name)
    found = {split: list(dict.fromkeys(names)) for split, names in found.items()}
    if not found and (root / "images").is_dir():
        if absent:
            message = f"{file} names {some(absent)}, which are not there: images/ is taken whole."
            remark(notes, faults, "missing_file", file, message)
        return {"all": _images(root, root / "images", notes, faults)}
    if "train" in given.splits and "train" not in found:
        raise DataError(
            f"{file}: train is {some(given.splits['train'])}, in which there are no images. Put them there."
        )
    if absent:
        remark(notes, faults, "missing_file", file, f"{file} names {some(absent)}, which are not there, and left out.")
    if found and "train" not in found:
        raise DataError(f"{file} has no train: it names the folder of the images to learn from.")
    return found


def _images(root: Path, place: Path, notes: list[str], faults: Faults | None) -> list[bytes]:
    """The images of a folder or a list, relative to `root`."""
    prefix = os.fsencode(place.relative_to(root).as_posix())
    if place.is_dir():
        listing = Listing(place, IMAGES)
        start = b"" if prefix == b"." else prefix + b"/"
        return [start + name for name in listing.files()]
    found = []
    try:
        lines = place.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Cannot read {place}: {error}. It takes the path of an image a line.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        image = place_of(root, YOLOFile({}, {}, os.path.dirname(os.fsdecode(prefix))), line.strip())
        if image is None or not IMAGES.has(image.name):
            message = f"{place}, line {number}: there is no image {line.strip()} in {root}."
            refuse(faults, "missing_file", place, message)
            continue
        found.append(os.fsencode(image.relative_to(root).as_posix()))
    return found


def label_name(image: bytes) -> bytes:
    """The label file of an image: the last folder `images` becomes `labels`; without one, it lies beside the image."""
    folders, slash, last = image.rpartition(b"/")
    parts = folders.split(b"/") if slash else []
    for place in range(len(parts) - 1, -1, -1):
        if parts[place] == b"images":
            parts[place] = b"labels"
            break
    return b"/".join([*parts, os.path.splitext(last)[0] + b".txt"])


def _add_boxes(
    builder: AnnotationsBuilder, file: Path, numbers: Mapping[int, int], given: YOLOFile, faults: Faults | None
) -> None:
    try:
        if file.stat().st_size > _LARGEST:
            raise DataError(f"{file} has more than {_LARGEST >> 20} MiB, which are no labels of one image.")
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        refuse(faults, "bad_row", file, f"{file} cannot be read as text: {error}.")
        return
    except DataError as error:
        refuse(faults, "bad_row", file, str(error))
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = parse_line(line)
        except ValueError as error:
            refuse(faults, "bad_row", file, f"{file}, line {number} {error}")
            continue
        if row.number not in numbers:
            known = (
                f"from 0 to {max(given.names)}"
                if len(given.names) == max(given.names) + 1
                else some(map(str, given.names))
            )
            message = f"{file}, line {number} has the class {row.number}, and the YAML file names {known}."
            where = {} if faults is None else _where(builder, row.box)
            refuse(faults, "unknown_class", file, message, **where)
            continue
        segment = encode_segment([row.polygon], None, relative=True) if row.polygon else b""
        builder.add_box(numbers[row.number], row.box, number, segment=segment)


def _where(builder: AnnotationsBuilder, box: Box) -> dict[str, Any]:
    """The image that was added last, and a box of it in pixels."""
    image = builder.root / os.fsdecode(builder.images[-1])
    try:
        with read_header(image) as header:
            sides = upright_size(header) * 2
    except DataError:  # which reading it will name
        return {"image": str(image)}
    left, top, right, bottom = (value * side for value, side in zip(box, sides, strict=True))
    return {"image": str(image), "box": (left, top, right, bottom)}


@dataclass(frozen=True)
class Row:
    """A line of labels: the number of the class, left, top, right and bottom in fractions, and x and y of each corner
    where it is a polygon."""

    number: int
    box: Box
    polygon: list[float] = field(default_factory=list)


def parse_line(line: str) -> Row:
    """What a line says.

    Raises:
        ValueError: it is none; with what is wrong, after the name of its place.
    """
    cells = line.split()
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise ValueError(f"has {line.strip()[:40]!r}, and it takes numbers: class, x, y, width and height.")
    if len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
        raise ValueError(
            f"has {len(values)} numbers: it takes 5 (class, x, y, width, height), or a class and x and y of 3 corners "
            "or more."
        )
    number, *rest = values
    if number != int(number) or abs(number) >= 2**31:
        raise ValueError(f"begins with {cells[0][:40]}, and a class is a whole number.")
    if (largest := max(map(abs, rest))) > _PIXELS:
        raise ValueError(
            f"has {largest:g}, a number of pixels: coordinates are fractions of the image's width and height, from 0 "
            "to 1."
        )
    if len(rest) == 4:
        x, y, width, height = rest
        return Row(int(number), (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    return Row(int(number), (min(rest[::2]), min(rest[1::2]), max(rest[::2]), max(rest[1::2])), rest)


def _refuse_orphans(root: Path, builder: AnnotationsBuilder, faults: Faults | None) -> None:
    """Refuses label files in the folders of labels for which there is no image, listed or not."""
    folders = {os.fsdecode(label_name(name).rpartition(b"/")[0]) for name in builder.images}
    orphans = []
    for folder in sorted(folders):
        if not folder or not (root / folder).is_dir():
            continue
        images = Path(*("images" if part == "labels" else part for part in Path(folder).parts))
        known = {os.path.splitext(normalized_name(name))[0] for name in Listing(root / images, IMAGES).files()}
        for name in Listing(root / folder, LABELS).files():
            path = root / folder / os.fsdecode(name)
            if os.path.splitext(normalized_name(name))[0] not in known and path.name.lower() not in _NO_LABELS:
                orphans.append(path)
    for path in dict.fromkeys(orphans) if faults is not None else ():
        refuse(faults, "orphan_annotation", path, f"{path} is a label file without an image.")
    if orphans and faults is None:
        shown = some(map(str, orphans), 4)
        raise DataError(f"Label files without an image ({len(orphans):,}): {shown}. Add the images, or take them out.")
