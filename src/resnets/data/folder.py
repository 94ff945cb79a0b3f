"""Folders of pictures: `train/<class>/*` and `val/<class>/*` or `test/<class>/*`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets import draws
from resnets.data.pictures import ENDINGS, open_picture
from resnets.data.sources import Dataset, Source, Subset, stratified_split
from resnets.errors import DataError
from resnets.preprocessing import Color

HELD_OUT = 0.2
_SPLIT_SEED = 20151210
_TEST_FOLDERS = ("val", "valid", "validation", "test")
_PART_FOLDERS = frozenset({"train", "training", "testing", *_TEST_FOLDERS})


@dataclass(frozen=True)
class FolderSource:
    """Pictures in `root/<class>/`, read when asked for.

    File names are held as one array of bytes: a list of a million strings would be copied into every process that
    touches it.
    """

    root: Path
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    files: NDArray[np.bytes_]  # (N,), relative to root

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> Path:
        return self.root / os.fsdecode(self.files[index])

    def picture(self, index: int, color: Color) -> Image.Image:
        return open_picture(self.path(index), color)

    def encoded(self, index: int) -> bytes | None:
        try:
            return self.path(index).read_bytes()
        except OSError:
            return None

    def name(self, index: int) -> str:
        return str(self.path(index))


def open_folder(root: Path) -> Dataset:
    """The dataset in `root`.

    With `train/` and `val/` (or `test/`) those are the two parts, and test pictures are labelled by the names of
    the training classes. Without a test folder, a fifth of each class is held out, always the same for the same
    file names. `root` may also hold the class folders itself.

    Raises:
        DataError: missing or empty folders, or test classes that were not trained.
    """
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. Give one that holds train/<class>/*.jpg and val/<class>/*.jpg.")
    train_root = root / "train" if (root / "train").is_dir() else root
    notes: list[str] = []
    train = read_classes(train_root, None, notes)
    # Else Train/ and Test/ would be told apart, with a splendid accuracy.
    if train_root == root and all(name.lower() in _PART_FOLDERS for name in train.classes):
        raise DataError(f"{root} holds {_some(train.classes)}, but no train/: call the parts train and val.")
    for name in _TEST_FOLDERS:
        if train_root != root and (root / name).is_dir():
            test: Source = read_classes(root / name, train.classes, notes)
            return Dataset(train, test, notes=tuple(notes))
    generator = draws.generator(_SPLIT_SEED, "held out")
    kept, held_out = stratified_split(train.labels, max(1, round(HELD_OUT * len(train))), generator)
    if len(np.unique(train.labels[kept])) < len(train.classes):
        raise DataError(f"{train_root} is too small to hold out a fifth of each class: add val/<class>/ pictures.")
    notes.append(f"{root} has no val or test folder: {len(held_out)} of its {len(train)} pictures are held out.")
    return Dataset(Subset(train, kept), Subset(train, held_out), notes=tuple(notes))


def read_classes(root: Path, classes: tuple[str, ...] | None, notes: list[str]) -> FolderSource:
    """The pictures of `root`, a folder a class.

    Args:
        classes: the names that labels stand for; None takes them from the folders, in the order of their names.
        notes: gets a line for each thing a person should know.
    """
    folders = {e.name: Path(e.path) for e in _visible(root) if e.is_dir()}
    hidden = sorted(e.name for e in os.scandir(root) if e.is_dir() and not _is_visible(e))
    if hidden:
        notes.append(f"{root}: hidden folders are not classes and were left out: {', '.join(hidden)}.")
    if not folders:
        raise DataError(f"{root} holds no class folders: put the pictures into {root}/<class>/.")
    names = tuple(sorted(folders)) if classes is None else classes
    strangers = sorted(set(folders) - set(names))
    if strangers:
        raise DataError(
            f"{root} has classes that the model was not trained on: {_some(strangers)}. "
            f"It knows {_some(names)}. Rename or remove those folders."
        )
    files: list[bytes] = []
    labels: list[int] = []
    other: list[str] = []
    empty: list[str] = []
    for label, name in enumerate(names):
        found = list(_pictures(folders[name], name, other)) if name in folders else []
        if not found:
            empty.append(name)
        files += sorted(os.fsencode(f) for f in found)
        labels += [label] * len(found)
    if empty and classes is None:
        raise DataError(f"{root} has no pictures of {_some(empty)}: fill or remove the folder.")
    if empty:
        notes.append(f"{root} has no pictures of {_some(empty)}; the other labels still match by name.")
    if not files:
        raise DataError(f"{root} holds no pictures ({', '.join(sorted(ENDINGS))}).")
    if other:
        notes.append(f"{root}: {len(other)} files that are not pictures were left out, such as {other[0]}.")
    return FolderSource(root, names, np.array(labels, np.int64), np.array(files, np.bytes_))


def _pictures(folder: Path, relative: str, other: list[str]) -> Iterator[str]:
    """Pictures in `folder` and the folders below it, as paths that start with `relative`."""
    for entry in _visible(folder):
        path = f"{relative}/{entry.name}"
        if entry.is_dir():
            yield from _pictures(Path(entry.path), path, other)
        elif os.path.splitext(entry.name)[1].lower() in ENDINGS:
            yield path
        else:
            other.append(path)


def _visible(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from (e for e in entries if _is_visible(e))
    except OSError as error:
        raise DataError(f"Cannot list {folder}: {(error.strerror or str(error)).lower()}.") from error


def _is_visible(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.name not in ("__MACOSX", "__pycache__")


def _some(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
