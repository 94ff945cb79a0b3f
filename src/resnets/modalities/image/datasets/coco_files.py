"""Finds the JSON files of a dataset in COCO's format, the split of each, and the images that they list."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from resnets.core.errors import DataError
from resnets.modalities.base import SplitName
from resnets.modalities.table_cells import SPLIT_NAMES

ANNOTATIONS = "annotations"  # the folder of the JSON files
EXPORTED = "_annotations.coco.json"  # in the folder of each split, as Roboflow exports it
_IN_NAME = re.compile(rf"(?:instances_|panoptic_)?({'|'.join(SPLIT_NAMES)})[^a-z]*", re.IGNORECASE)
_HEAD = 2**16  # bytes of a JSON file, in which one of its keys has to be
_KEYS = (b'"images"', b'"annotations"', b'"categories"')
_PANOPTIC = re.compile("panoptic", re.IGNORECASE)
_OF_OTHERS = re.compile("panoptic|stuff|captions|keypoints|semantic", re.IGNORECASE)
EXPECTED = (
    "annotations/instances_train.json and instances_val.json, train/_annotations.coco.json, or one JSON file beside "
    "the images"
)


def looks_like_coco(path: Path) -> bool:
    """Whether `path` is such a JSON file, or a folder with some. Little of a file is read."""
    if path.is_file():
        return path.suffix.lower() == ".json" and _has_keys(path)
    return path.is_dir() and (
        any(_has_keys(file) for files in _candidates(path) for file in files) or is_panoptic(path)
    )


def find_annotations(path: Path) -> dict[SplitName, Path]:
    """The JSON file of each split; one file alone is the split "all".

    Raises:
        DataError: there is none, or there are two of one split, or none of train.
    """
    if path.is_file():
        return {"all": path}
    if not path.is_dir():
        raise DataError(f"There is no folder {path}. Give one with {EXPECTED}.")
    in_folder, exported, alone = _candidates(path)
    if not in_folder and not exported:
        if len(alone) > 1:
            names = " and ".join(file.name for file in alone[:4])
            raise DataError(f"{path} holds {names}: give the file that is meant, such as {alone[0]}.")
        if not alone:
            raise DataError(f"{path} holds no annotations of boxes in COCO's format: expected are {EXPECTED}.")
        return {"all": alone[0]}
    return _by_split(path, in_folder or exported)


def _by_split(path: Path, files: list[Path]) -> dict[SplitName, Path]:
    """The file of each split, by its name or, of an export, by that of its folder."""
    found: dict[SplitName, Path] = {}
    for file in files:
        match = None if file.name == EXPORTED else _IN_NAME.fullmatch(file.stem)
        name = match[1] if match else file.parent.name
        split = SPLIT_NAMES.get(name.lower(), "all")
        if split in found:
            raise DataError(
                f"{found[split]} and {file} are both annotations of the split {split}: take one out, or give the file "
                "that is meant."
            )
        found[split] = file
    if "all" in found and len(found) > 1:
        raise DataError(f"{found['all']} is of no split, and other files are: call it instances_train.json or so.")
    if "train" not in found and "all" not in found:
        raise DataError(
            f"{path} has annotations of {', '.join(found)}, and none of train: give the file that is meant."
        )
    return found


def root_of(path: Path) -> Path:
    """The folder that has the images of the JSON file or files `path`."""
    if path.is_dir():
        return path
    return path.parent.parent if path.parent.name == ANNOTATIONS else path.parent


def is_panoptic(path: Path) -> bool:
    """Whether `path` is a JSON file of panoptic segmentation, or a folder with such files alone."""
    if path.is_file():
        return bool(_PANOPTIC.search(path.stem)) and _has_keys(path)
    return not any(_candidates(path)) and bool(_panoptic_files(path))


def find_panoptic(path: Path) -> dict[SplitName, Path]:
    """The JSON file of panoptic segmentation of each split; one file alone is the split "all".

    Raises:
        DataError: there are two of one split, or none of train.
    """
    if path.is_file():
        return {"all": path}
    return _by_split(path, _panoptic_files(path))


def _panoptic_files(root: Path) -> list[Path]:
    folders = (root / ANNOTATIONS, root)
    return next((found for folder in folders if (found := _json_files(folder, _PANOPTIC.search))), [])


def _candidates(root: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """The JSON files of boxes in `annotations/`, in folders of splits, and in `root` itself."""
    in_folder = [file for file in _json_files(root / ANNOTATIONS) if file.stem.startswith("instances_")]
    in_folder = in_folder or [file for file in _json_files(root / ANNOTATIONS) if _IN_NAME.fullmatch(file.stem)]
    exported = [root / name / EXPORTED for name in SPLIT_NAMES if (root / name / EXPORTED).is_file()]
    alone = [] if in_folder or exported else [file for file in _json_files(root) if _has_keys(file)]
    return in_folder, exported, alone


def _json_files(folder: Path, wanted: Callable[[str], object] = lambda stem: not _OF_OTHERS.search(stem)) -> list[Path]:
    if not folder.is_dir():
        return []
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".json" and file.is_file())
    return [file for file in files if wanted(file.stem)]


def _has_keys(file: Path) -> bool:
    """Whether a file begins as an object with a key of COCO's."""
    try:
        with open(file, "rb") as stream:
            head = stream.read(_HEAD).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError:
        return False
    return head.startswith(b"{") and any(key in head for key in _KEYS)


class ImageFolder:
    """Where the images of a JSON file lie: the first folder that has the first of them.

    Args:
        root: which holds all images.
        names: as the JSON file has them.

    Raises:
        DataError: no folder has one of the first images.
    """

    def __init__(self, root: Path, file: Path, names: Sequence[str]) -> None:
        self.root, self.file = root, file
        folders = _image_folders(root, file)
        tried = [_parts(name) for name in names[:20]]
        for folder in folders:
            for parts in tried:
                for count in range(len(parts)):  # leading folders may be those of another machine
                    if parts[count] != "/" and (root / folder / "/".join(parts[count:])).is_file():
                        self._folder, self._dropped = folder, parts[:count]
                        return
        self._folder, self._dropped = "", ()
        if names:
            listed = ", ".join(str(root / folder) for folder in folders[:6])
            raise DataError(f"{file}: there is no image {names[0]} in any of {listed}. Put the images there.")

    def name(self, name: str) -> bytes | None:
        """A name of the JSON file relative to the root; None where it leads out of the folder."""
        parts = _parts(name)
        if parts[: len(self._dropped)] == self._dropped:
            parts = parts[len(self._dropped) :]
        if not parts or ".." in parts or parts[0] == "/":
            return None
        return os.fsencode("/".join([*([self._folder] if self._folder else []), *parts]))

    @property
    def path(self) -> Path:
        return self.root / self._folder


def _parts(name: str) -> tuple[str, ...]:
    path = os.path.normpath(name.replace("\\", "/")).replace("\\", "/")
    return PurePosixPath(path).parts


def _image_folders(root: Path, file: Path) -> list[str]:
    """The folders in which images may lie, relative to `root`, the likeliest first."""
    if file.name == EXPORTED:
        return [file.parent.relative_to(root).as_posix()]
    own = file.stem.removeprefix("instances_").removeprefix("panoptic_")
    match = _IN_NAME.fullmatch(file.stem)
    split = SPLIT_NAMES[match[1].lower()] if match else None
    names = [own, *(name for name, each in SPLIT_NAMES.items() if each == split)]
    likely = [*names, *(f"images/{name}" for name in names), *(f"{name}/images" for name in names), "images", ""]
    others = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    return [name for name in dict.fromkeys([*likely, *others]) if (root / name).is_dir()]


def without_entry(root: Path, folder: Path, listed: set[bytes]) -> list[Path]:
    """The images in a folder that no JSON file lists."""
    from resnets.modalities.listing import IMAGES, Listing

    prefix = folder.relative_to(root).as_posix()
    start = b"" if prefix == "." else os.fsencode(prefix) + b"/"
    return [folder / os.fsdecode(name) for name in Listing(folder, IMAGES).files() if start + name not in listed]
