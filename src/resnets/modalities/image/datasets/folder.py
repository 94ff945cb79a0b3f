"""Folders of images: `train/<class>/*`, `val/<class>/*` and `test/<class>/*`, or `<class>/*` alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.core.errors import DataError
from resnets.core.renamed import renamed_fields
from resnets.modalities.base import Arrays, Dataset, DatasetSplits, OnDisk, SplitName
from resnets.modalities.file_names import Names, NamesBuilder, normalized_name
from resnets.modalities.image.preprocessing import Background, Color
from resnets.modalities.image.read.pillow import ENDINGS, open_image
from resnets.modalities.listing import Listing

_SPLIT_FOLDERS: dict[SplitName, tuple[str, ...]] = {"val": ("val", "valid", "validation", "dev"), "test": ("test",)}
_PART_FOLDERS = frozenset({"train", "training", "testing"}.union(*_SPLIT_FOLDERS.values()))


@renamed_fields
@dataclass(frozen=True)
class FolderDataset:
    """Images in `root/<class>/`, read from their files one at a time.

    Args:
        files: (N,) names relative to `root`, such as b"cat/1.jpg".
    """

    root: Path
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    files: Names

    @property
    def modality(self) -> str:
        return "image"

    @property
    def task(self) -> str:
        return "classification"

    @property
    def targets(self) -> dict[str, NDArray[Any]]:
        return {"labels": self.labels}

    @property
    def strata(self) -> NDArray[np.int64]:
        return self.labels

    @property
    def on_disk(self) -> tuple[OnDisk, ...]:
        return (OnDisk(self.root, self.files),)

    def __len__(self) -> int:
        return len(self.labels)

    def target(self, index: int) -> Arrays:
        return {"labels": self.labels[index]}

    def fingerprint(self, index: int) -> bytes:
        return b""

    def path(self, index: int) -> Path:
        return self.root / os.fsdecode(self.files[index])

    def image(self, index: int, color: Color, background: Background | None = None) -> Image.Image:
        return open_image(self.path(index), color, background=background)

    def encoded(self, index: int) -> bytes | None:
        try:
            return self.path(index).read_bytes()
        except OSError:
            return None

    def name(self, index: int) -> str:
        return str(self.path(index))

    def key(self, index: int) -> bytes:
        return normalized_name(self.files[index])


def open_folder(root: Path) -> DatasetSplits:
    """The data in `root`: its folders `train/`, `val/` and `test/` are its splits.

    The images of `val/` and `test/` are labelled by the names of the training classes. `val/` may also be called
    `valid/`, `validation/` or `dev/`. A `root` without `train/` holds the class folders itself; all of it is the split
    "all".

    Raises:
        DataError: a folder is missing or empty, or has classes that the model was not trained on.
    """
    if not root.is_dir():
        raise DataError(
            f"There is no folder {root}. Give one that holds <class>/*.jpg, "
            "or train/, val/ and test/ with such folders."
        )
    notes: list[str] = []
    if not (root / "train").is_dir():
        whole = read_classes(root, None, notes)
        # Otherwise Train/ and Test/ would become the classes.
        if all(name.lower() in _PART_FOLDERS for name in whole.classes):
            raise DataError(
                f"{root} holds {_some(whole.classes)}, but no train/: call the parts train and val. To evaluate on one "
                f"of them, give its own folder, such as {root / whole.classes[0]}."
            )
        return DatasetSplits({"all": whole}, notes=tuple(notes))
    train = read_classes(root / "train", None, notes)
    splits: dict[SplitName, Dataset] = {"train": train}
    for split, folders in _SPLIT_FOLDERS.items():
        found = [name for name in folders if (root / name).is_dir()]
        if found:
            splits[split] = read_classes(root / found[0], train.classes, notes)
        if len(found) > 1:
            notes.append(f"{root}: {found[0]} is the split {split}; {_some(found[1:])} was left out.")
    notes += Listing(root).notes()
    return DatasetSplits(splits, notes=tuple(notes))


def read_classes(root: Path, classes: tuple[str, ...] | None, notes: list[str]) -> FolderDataset:
    """The images of `root`, a folder a class.

    Args:
        classes: the names that labels stand for; None takes them from the folders, in the order of their names.
        notes: a line is appended for each thing that the user should know.
    """
    listing = Listing(root)
    if not listing.classes:
        raise DataError(f"{root} holds no class folders: put the images into {root}/<class>/.")
    names = listing.classes if classes is None else classes
    strangers = sorted(set(listing.classes) - set(names))
    if strangers:
        raise DataError(
            f"{root} has classes that the model was not trained on: {_some(strangers)}. "
            f"It knows {_some(names)}. Rename or remove those folders."
        )
    files = NamesBuilder()
    labels: list[int] = []
    empty: list[str] = []
    for label, name in enumerate(names):
        found = listing.images(name) if name in listing.classes else []
        if not found:
            empty.append(name)
        files += found
        labels += [label] * len(found)
    left_out = listing.notes()
    if empty and classes is None:
        raise DataError("\n".join([f"{root} has no images of {_some(empty)}: fill or remove the folder.", *left_out]))
    if not files:
        raise DataError("\n".join([f"{root} holds no images ({', '.join(sorted(ENDINGS))}).", *left_out]))
    if empty:
        notes.append(f"{root} has no images of {_some(empty)}; the other labels still match by name.")
    if len(names) == 1:
        notes.append(f"{root} has one class only, {names[0]}: there is no other class to distinguish it from.")
    notes += left_out
    return FolderDataset(root, names, np.array(labels, np.int64), files.build())


def _some(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
