"""Images with boxes in the layout of PASCAL VOC (Everingham et al. 2010): an XML file for each image."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnets.core.errors import DataError
from resnets.core.units import some
from resnets.modalities.base import SplitName
from resnets.modalities.class_names import note_on_alike, same_names
from resnets.modalities.faults import Faults, refuse, remark
from resnets.modalities.image.datasets.annotations import Annotations, AnnotationsBuilder
from resnets.modalities.image.datasets.box_files import ANNOTATION_FOLDERS, Matched, match_files
from resnets.modalities.image.datasets.listed_boxes import ListedBoxes, in_order
from resnets.modalities.image.datasets.voc_xml import VOCAnnotation, read_annotation
from resnets.modalities.listing import IMAGES, FileKind
from resnets.modalities.table_cells import SPLIT_NAMES

XML = FileKind("annotations", ".xml", frozenset({".xml"}))
LISTS = Path("ImageSets", "Main")
_ROOT = b"<annotation"
_FIRST_ONES = 50  # entries of a folder, of which one has to be an annotation


@dataclass(frozen=True)
class _Image:
    name: bytes
    source: bytes
    split: SplitName
    annotation: VOCAnnotation


def looks_like_voc(root: Path) -> bool:
    """Whether `root` has annotations beside its images, in a folder of their own, or in folders of splits."""
    if not root.is_dir():
        return False
    parts = [root, *(root / name for name in SPLIT_NAMES if (root / name).is_dir())]
    own = [each for part in parts for each in _folders(part) if each.name.lower() in ANNOTATION_FOLDERS]
    below = (inner for folder in own for inner in _folders(folder)[:_FIRST_ONES])
    return any(map(_has_annotation, itertools.chain(parts, own, below)))


def _folders(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()]


def _has_annotation(folder: Path) -> bool:
    """Whether one of the first XML files in `folder` itself is an annotation."""
    try:
        with os.scandir(folder) as entries:
            files = (entry for entry in entries if XML.has(entry.name) and entry.is_file())
            for entry in itertools.islice(files, _FIRST_ONES):
                with open(entry.path, "rb") as file:
                    if _ROOT in file.read(2**12).replace(b"\0", b""):  # in UTF-16 too
                        return True
    except OSError:
        return False
    return False


def list_voc(root: Path, faults: Faults | None = None) -> ListedBoxes:
    """The images in `root` and the boxes of their XML files, which have the same names.

    The XML files lie beside the images or in a folder of their own, such as `Annotations/`. The splits are the lists
    `ImageSets/Main/train.txt`, `val.txt` and `test.txt` of such names, a line each, or else the folders `train/`,
    `val/` and `test/`; without either, all images are the split "all". (`trainval` is no split.) The classes are the
    names of the objects of train, sorted.

    Coordinates are taken as they stand: a box from 1 to 3 is 2 pixels wide. (The VOC challenges counted pixels from 1
    and both ends, which moves boxes by a pixel at most.)

    Args:
        faults: what would be refused is appended here, and left out.

    Raises:
        DataError: nothing is found, an image has no XML file or the other way round, or an annotation is wrong.
    """
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. Give one with images and their XML files, such as Annotations/.")
    matched = match_files(root, IMAGES, XML, faults)
    if not matched.annotations:
        raise DataError(
            f"{root} holds no XML file with the name of an image: expected are Annotations/ and JPEGImages/."
        )
    lists = _lists(root)
    notes: list[str] = []
    if lists:
        listed = _listed(root, lists, matched, faults)
        if unlisted := len(matched.images) - sum(map(len, listed.values())):
            message = f"{root}: images in no list of {LISTS.as_posix()} were left out ({unlisted:,})."
            remark(notes, faults, "loose_file", root, message)
    else:
        listed = _by_folder(root, sorted(matched.images), notes, faults)
        _refuse_unmatched(root, matched.without, faults)
    images = [
        _Image(matched.images[name], matched.annotations[name], split, annotation)
        for split, names in listed.items()
        for name in names
        if (annotation := _read(root, matched.annotations[name], faults)) is not None
    ]
    classes, known = _classes(root, images, notes, faults)
    splits = {split: np.flatnonzero([image.split == split for image in images]) for split in listed}
    return ListedBoxes(
        _annotations(root, images, {name: classes.index(own) for name, own in known.items()}),
        classes,
        tuple(range(1, len(classes) + 1)),
        in_order(splits),
        tuple(notes),
    )


def _lists(root: Path) -> dict[SplitName, Path]:
    """The lists of the splits, if there are any.

    Raises:
        DataError: there are some, and none of train.
    """
    found: dict[SplitName, Path] = {}
    for name, split in SPLIT_NAMES.items():
        file = root / LISTS / f"{name}.txt"
        if split not in found and file.is_file():
            found[split] = file
    if found and "train" not in found:
        raise DataError(f"{root / LISTS} has {', '.join(found)}, and no train.txt to learn from: add it.")
    return found


def _listed(
    root: Path, lists: Mapping[SplitName, Path], matched: Matched, faults: Faults | None
) -> dict[SplitName, list[str]]:
    """The names of the images of each list, in its order."""
    images = matched.images
    by_stem = {name.rpartition("/")[2]: name for name in images}
    first: dict[str, str] = {}
    found: dict[SplitName, list[str]] = {}
    for split, file in lists.items():
        found[split] = []
        for number, line in _lines(file):
            place = f"{file}, line {number}"
            options = (line, line.partition(" ")[0], os.path.splitext(line)[0])
            name = next((by_stem.get(each, each) for each in options if each in images or each in by_stem), None)
            if name is None:
                _refuse_name(root, place, options[1], matched, faults)
            elif first.setdefault(name, place) != place:
                message = f"{place} repeats {line} of {first[name]}: list each image once, in one split."
                refuse(faults, "bad_row", file, message)
            else:
                found[split].append(name)
        if not found[split] and faults is None:
            raise DataError(f"{file} lists no image.")
    return found


def _refuse_name(root: Path, place: str, name: str, matched: Matched, faults: Faults | None) -> None:
    """Says which of the two files a listed name lacks."""
    for files, kind, other in zip(
        matched.without, ("missing_annotation", "missing_file"), ("XML file", "image"), strict=True
    ):
        there = next((file for file in files if os.path.splitext(os.path.basename(os.fsdecode(file)))[0] == name), None)
        if there is not None:
            path = root / os.fsdecode(there)
            refuse(
                faults, kind, path, f"{place}: {name} has no {other}; {path} is there. Add it, or take the line out."
            )
            return
    refuse(faults, "missing_file", root / name, f"{place}: {name} has neither an image nor an XML file in {root}.")


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Cannot read {file}: {error}. It takes the name of an image a line.") from error
    return ((number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip())


def _by_folder(root: Path, names: list[str], notes: list[str], faults: Faults | None) -> dict[SplitName, list[str]]:
    """The names of each split, which is their first folder; all of them where there is no train."""
    found: dict[SplitName, list[str]] = {}
    outside = []
    for name in names:
        split = SPLIT_NAMES.get(name.partition("/")[0].lower()) if "/" in name else None
        if split is None:
            outside.append(name)
        else:
            found.setdefault(split, []).append(name)
    if "train" not in found:
        return {"all": names}
    if outside:
        message = f"{root}: images beside train/, in no split, were left out ({len(outside):,}): {some(outside)}."
        remark(notes, faults, "loose_file", root, message)
    return found


def _refuse_unmatched(root: Path, without: tuple[list[bytes], list[bytes]], faults: Faults | None) -> None:
    for names, kind, what in (
        (without[0], "missing_annotation", "no XML file of the same name. Add them, or take the images out"),
        (without[1], "orphan_annotation", "no image of the same name. Add the images, or take them out"),
    ):
        paths = [root / os.fsdecode(name) for name in names]
        if faults is not None:
            for path in paths:
                refuse(faults, kind, path, f"{path} has {what.partition('.')[0]}.")
        elif paths:
            raise DataError(f"Files with {what} ({len(paths):,}): {some(map(str, paths), 4)}.")


def _read(root: Path, source: bytes, faults: Faults | None) -> VOCAnnotation | None:
    path = root / os.fsdecode(source)
    try:
        annotation = read_annotation(path)
    except DataError as error:
        refuse(faults, "bad_row", path, str(error))
        return None
    for message in annotation.wrong.values():
        refuse(faults, "bad_row", path, message)
    return annotation


def _classes(
    root: Path, images: list[_Image], notes: list[str], faults: Faults | None
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The classes of train, and the class of each name that objects have."""
    learnt_from: set[SplitName] = {"train", "all"}
    own = {each.name for image in images if image.split in learnt_from for each in image.annotation.objects.values()}
    classes = tuple(sorted(own))
    notes += note_on_alike(classes, str(root))
    names = sorted({each.name for image in images for each in image.annotation.objects.values()})
    known = same_names(names, classes, str(root), merged=True)
    for image in images:
        for number, each in image.annotation.objects.items():
            if each.name not in known:
                path = root / os.fsdecode(image.source)
                message = f"{path}, object {number} is of the class {each.name}, which train does not have: it has "
                where = {"image": str(root / os.fsdecode(image.name)), "box": each.box}
                refuse(faults, "unknown_class", path, f"{message}{some(classes) or 'none'}.", **where)
    return classes, known


def _annotations(root: Path, images: list[_Image], labels: Mapping[str, int]) -> Annotations:
    builder = AnnotationsBuilder(root, "object")
    for image in images:
        builder.add_image(image.name, image.source, image.annotation.size)
        for number, each in image.annotation.objects.items():
            if each.name in labels:
                builder.add_box(labels[each.name], each.box, number, difficult=each.difficult)
    return builder.build()
