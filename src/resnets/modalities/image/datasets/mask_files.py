"""Finds pairs of an image and its mask: in two folders of the same names, or in lists of pairs."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from resnets.core.errors import DataError
from resnets.core.units import some
from resnets.modalities.base import SplitName
from resnets.modalities.faults import Fault, Faults, refuse
from resnets.modalities.file_names import normalized_name
from resnets.modalities.image.read.mask import MASK_ENDINGS
from resnets.modalities.image.read.pillow import ENDINGS
from resnets.modalities.listing import Listing

Pair = tuple[bytes, bytes]  # the image and its mask, relative to the root, with forward slashes
_SPLITS: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
_MASK_FOLDERS = ("masks", "annotations", "semantic")
_AFTER_SPLIT = ("annot", "_annot", "_masks", "_labels")  # trainannot/ beside train/
_AFTER_STEM = ("_mask", "_label", "_gt")  # 1_mask.png for 1.jpg
_EXPECTED = (
    "train/ and trainannot/, images/ and masks/ (with train/, val/ and test/ below or without), or train.txt with an "
    "image and its mask a line"
)


def looks_like_masks(root: Path) -> bool:
    """Whether `root` has images with masks in one of the layouts of `find_pairs`. Few entries are read."""
    if any(file is not None and _begins_with_a_pair(file) for file in _lists(root).values()):
        return True
    return any(_has(folder, MASK_ENDINGS) and _has(images, ENDINGS) for images, folder in _folders(root).values())


def find_pairs(root: Path, faults: Faults | None = None) -> tuple[dict[SplitName, list[Pair]], list[str]]:
    """The pairs of each split, in the order of the images' names or of the list, and notes on what was left out.

    There are three layouts, of which the first that is found is taken:

    - Lists `train.txt`, `val.txt`, `test.txt`: an image and its mask a line, with a blank, a tab or a comma between,
      relative to `root`. Paths of another machine will do: leading folders that `root` does not have are dropped, the
      same ones of all lines.
    - `train/` and `trainannot/` (or `train_annot`, `train_masks`, `train_labels`), `val` and `test` likewise.
    - `images/` and `masks/` (or `annotations/`, `semantic/`), with folders `train/`, `val/` and `test/` in both, or
      without, which is the split "all"; or `train/images/` and `train/masks/`.

    In folders, a mask belongs to the image with the same name but for the ending, or with `_mask`, `_label` or `_gt`
    after it.

    Args:
        faults: what would be refused is appended here, and left out.

    Raises:
        DataError: nothing is found, an image has no mask, a mask no image, a path leads out of `root`, or an
            image is listed twice.
    """
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. Give one with images and masks: {_EXPECTED}.")
    lists = {split: file for split, file in _lists(root).items() if file is not None and any(_lines(file))}
    if lists:
        listed = {split: _listed(root, file, faults) for split, file in lists.items()}
        return _without_repeated(root, listed, faults), []
    notes: list[str] = []
    pairs = {
        split: _matched(root, images.relative_to(root), masks.relative_to(root), notes, faults)
        for split, (images, masks) in _folders(root).items()
    }
    if not pairs:
        raise DataError(f"{root} has no images with masks: expected are {_EXPECTED}.")
    return pairs, notes


def _lists(root: Path) -> dict[SplitName, Path | None]:
    return {
        split: next((root / f"{name}.txt" for name in names if (root / f"{name}.txt").is_file()), None)
        for split, names in _SPLITS.items()
    }


def _begins_with_a_pair(file: Path) -> bool:
    """Whether the first line of a file of any kind is an image and its mask."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as lines:
            first = next((line for line in itertools.islice(lines, 100) if line.strip()), "")
    except OSError:
        return False
    return _pair(first) is not None


def _pair(line: str) -> tuple[str, str] | None:
    between = next((sign for sign in "\t," if line.count(sign) == 1), None)
    parts = [part.strip() for part in line.split(between)]
    return (parts[0], parts[1]) if len(parts) == 2 and all(_ending(part) in ENDINGS for part in parts) else None


def _lines(file: Path, faults: Faults | None = None) -> Iterator[tuple[int, str, str]]:
    """Number from 1, image and mask of each line; nothing where the first line is no pair.

    Raises:
        DataError: a later line is no pair, or the file is no text.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Cannot read {file}: {error}.") from error
    first = True
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        pair = _pair(line)
        if pair is None:
            if first:
                return
            expected = f"{file}, line {number}: expected an image and its mask, with a blank between, not {line!r}."
            refuse(faults, "bad_row", str(file), expected)
            continue
        first = False
        yield number, *pair


@dataclass
class _Prefix:
    """The leading folders that paths of a list have and `root` has not."""

    root: Path
    folders: tuple[str, ...] | None = None

    def drop(self, text: str, where: str) -> bytes:
        """`text` relative to the root.

        Raises:
            DataError: it leads out of the root, or there is no such file.
        """
        own = self.root.resolve().as_posix()
        path = text.replace("\\", "/").removeprefix(f"{own}/")
        parts = PurePosixPath(os.path.normpath(path).replace("\\", "/")).parts
        if ".." in parts:
            raise DataError(f"{where}: {text} is outside of {self.root}. All files must be in the folder.")
        tried = (0, len(self.folders)) if self.folders is not None else range(len(parts))
        for count in tried:
            if self.folders is not None and count and parts[:count] != self.folders:
                continue
            if parts[count:] and parts[count] != "/" and (self.root / "/".join(parts[count:])).is_file():
                if count and self.folders is None:
                    self.folders = parts[:count]
                return os.fsencode("/".join(parts[count:]))
        raise DataError(f"{where}: there is no file {text} in {self.root}, with its leading folders or without them.")


def _listed(root: Path, file: Path, faults: Faults | None) -> list[tuple[str, Pair]]:
    """The pairs of a list, each with the file and the line."""
    prefix = _Prefix(root)
    found = []
    for number, *texts in _lines(file, faults):
        where = f"{file}, line {number}"
        try:
            image, mask = (prefix.drop(text, where) for text in texts)
        except DataError as error:
            refuse(faults, "missing_file", str(file), str(error))
            continue
        found.append((where, (image, mask)))
    return found


def _without_repeated(
    root: Path, listed: dict[SplitName, list[tuple[str, Pair]]], faults: Faults | None
) -> dict[SplitName, list[Pair]]:
    """The pairs. An image that is listed twice is refused: counted twice, or seen in training and in evaluation."""
    first: dict[bytes, str] = {}
    found: dict[SplitName, list[Pair]] = {split: [] for split in listed}
    for split, pairs in listed.items():
        for where, (image, mask) in pairs:
            if first.setdefault(image, where) == where:
                found[split].append((image, mask))
                continue
            name = os.fsdecode(image)
            message = f"{where} repeats {name} of {first[image]}: list each image once."
            refuse(faults, "bad_row", str(root / name), message)
    return found


def _folders(root: Path) -> dict[SplitName, tuple[Path, Path]]:
    """The folders of images and of masks by split."""
    found: dict[SplitName, tuple[Path, Path]] = {}
    for split, names in _SPLITS.items():
        for name in names:
            beside = [(root / name, root / f"{name}{after}") for after in _AFTER_SPLIT]
            below = [(root / "images" / name, root / masks / name) for masks in _MASK_FOLDERS]
            above = [(root / name / "images", root / name / masks) for masks in _MASK_FOLDERS]
            both = [pair for pair in (*beside, *below, *above) if pair[0].is_dir() and pair[1].is_dir()]
            if both and split not in found:
                found[split] = both[0]
    if not found:
        both = [(root / "images", root / masks) for masks in _MASK_FOLDERS]
        there = [pair for pair in both if pair[0].is_dir() and pair[1].is_dir()]
        found = {"all": there[0]} if there else {}
    return found


def _matched(root: Path, images: Path, masks: Path, notes: list[str], faults: Faults | None) -> list[Pair]:
    """The pairs in two folders of `root`."""
    of_images, of_masks = Listing(root / images), Listing(root / masks)
    image_files, mask_files = _stems(of_images, ENDINGS, faults), _stems(of_masks, MASK_ENDINGS, faults)
    left_out = [*of_images.notes(classes=False), *of_masks.notes(classes=False)]
    notes += left_out
    if not image_files:
        raise DataError("\n".join([f"{root / images} holds no images ({', '.join(sorted(ENDINGS))}).", *left_out]))
    pairs, alone = [], []
    for stem, image in image_files.items():
        names = (stem, *(stem + after.encode() for after in _AFTER_STEM))
        mask = next((mask_files.pop(name) for name in names if name in mask_files), None)
        if mask is None:
            alone.append(root / images / os.fsdecode(image))
        else:
            pairs.append((_below(images, image), _below(masks, mask)))
    if alone and faults is not None:
        faults += [Fault("missing_annotation", str(path), f"{path} has no mask.") for path in alone]
    elif alone:
        expected = (root / masks / alone[0].relative_to(root / images)).with_suffix("")
        raise DataError(
            f"{some(map(str, alone), 4)} {'has' if len(alone) == 1 else 'have'} no mask: {expected}.png is expected, "
            f"or {expected.name}_mask.png beside it. Add the masks, or take the images out."
        )
    if mask_files:
        orphans = [root / masks / os.fsdecode(name) for name in mask_files.values()]
        if faults is not None:
            faults += [Fault("orphan_annotation", str(path), f"{path} is a mask without an image.") for path in orphans]
            return pairs
        reason = (
            f"{some(map(str, orphans), 4)} {'is a mask' if len(orphans) == 1 else 'are masks'} without an image in "
            f"{root / images}. Add the images, or take the masks out."
        )
        raise DataError("\n".join([reason, *left_out]))
    return pairs


def _stems(listing: Listing, endings: frozenset[str], faults: Faults | None) -> dict[bytes, bytes]:
    """The files of a folder by their relative name without the ending."""
    found: dict[bytes, bytes] = {}
    for name in listing.files():
        if _ending(os.fsdecode(name)) not in endings:
            continue
        stem = os.path.splitext(normalized_name(name))[0]
        if stem in found:
            path, other = listing.root / os.fsdecode(name), os.fsdecode(found[stem])
            ambiguous = (
                f"{listing.root} holds {other} and {os.fsdecode(name)}: it is ambiguous which of them belongs to the "
                "mask or image of that name. Rename or remove one."
            )
            refuse(faults, "name_collision", str(path), ambiguous)
            continue
        found[stem] = name
    return found


def _below(folder: Path, name: bytes) -> bytes:
    return os.fsencode(folder.as_posix()) + b"/" + name


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _has(folder: Path, endings: frozenset[str]) -> bool:
    """Whether `folder`, or a folder in it, holds a file with one of `endings`."""
    for _, folders, files in os.walk(folder):
        if any(_ending(file) in endings for file in files):
            return True
        folders.sort()
    return False
