"""Folders of classes: `train/<class>/*`, `val/<class>/*` and `test/<class>/*`, or `<class>/*` alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError
from resnets.modalities.base import Dataset, DatasetSplits, SplitName
from resnets.modalities.class_names import note_on_alike, same_names
from resnets.modalities.file_names import Names, NamesBuilder
from resnets.modalities.listing import KINDS, FileKind, Listing
from resnets.modalities.mistaken_data import folder_hint

_SPLIT_FOLDERS: dict[SplitName, tuple[str, ...]] = {"val": ("val", "valid", "validation", "dev"), "test": ("test",)}
_PART_FOLDERS = frozenset({"train", "training", "testing"}.union(*_SPLIT_FOLDERS.values()))

_NO_CLASSES = frozenset({"all", "data", "images", "test", "unknown", "unlabeled", "unlabelled"})

D = TypeVar("D", bound=Dataset)
MakeDataset = Callable[[Path, tuple[str, ...], NDArray[np.int64], Names], D]


def open_class_folders(root: Path, kind: FileKind, dataset: MakeDataset[D]) -> DatasetSplits:
    """The data in `root`: its folders `train/`, `val/` and `test/` are its splits.

    The files of `val/` and `test/` are labelled by the names of the training classes. `val/` may also be called
    `valid/`, `validation/` or `dev/`. A `root` without `train/` holds the class folders itself; all of it is the split
    "all".

    Args:
        kind: the files that are samples.
        dataset: makes a split of its folder, its classes, the labels (N,) and the files (N,) by their names from there.

    Raises:
        DataError: a folder is missing or empty, has classes that the model was not trained on, or files of another
            kind too.
    """
    if not root.is_dir():
        raise DataError(
            f"There is no folder {root}. Give one that holds <class>/*{kind.usual}, "
            "or train/, val/ and test/ with such folders."
        )
    notes: list[str] = []
    if not (root / "train").is_dir():
        whole = read_classes(root, None, notes, kind, dataset)
        # Otherwise Train/ and Test/ would become the classes.
        if all(name.lower() in _PART_FOLDERS for name in whole.classes):
            raise DataError(
                f"{root} holds {_some(whole.classes)}, but no train/: call the parts train and val. To evaluate on one "
                f"of them, give its own folder, such as {root / whole.classes[0]}."
            )
        beside = [name for folders in _SPLIT_FOLDERS.values() for name in folders if (root.parent / name).is_dir()]
        if root.name == "train" and beside:
            notes.append(
                f"{root} is one split of {root.parent}, which has {_some(beside)} too: to use them, give that."
            )
        return DatasetSplits({"all": whole}, notes=tuple(notes))
    train = read_classes(root / "train", None, notes, kind, dataset)
    splits: dict[SplitName, Dataset] = {"train": train}
    for split, folders in _SPLIT_FOLDERS.items():
        found = [name for name in folders if (root / name).is_dir()]
        if found and split == "test" and (flat := flat_files(root / found[0], train.classes, kind)):
            notes.append(
                f"{root / found[0]} has no class folders: its {flat:,} {kind.plural} have no labels, and there is no "
                f"split test. To predict them with the trained model: resnets predict RUN {root / found[0]}"
            )
        elif found:
            splits[split] = read_classes(root / found[0], train.classes, notes, kind, dataset)
        if len(found) > 1:
            notes.append(f"{root}: {found[0]} is the split {split}; {_some(found[1:])} was left out.")
    notes += Listing(root, kind).notes()
    return DatasetSplits(splits, notes=tuple(notes))


def flat_files(folder: Path, classes: tuple[str, ...], kind: FileKind) -> int:
    """How many files a folder `test` without labels has, as Kaggle's competitions give it; 0 where it has labels.

    They lie in the folder itself, or in a single folder in it whose name says that it is no class.
    """
    listing = Listing(folder, kind)
    if listing.classes and not (
        len(listing.classes) == 1 and listing.classes[0] not in classes and listing.classes[0].lower() in _NO_CLASSES
    ):
        return 0
    return len(listing.files())


def read_classes(
    root: Path, classes: tuple[str, ...] | None, notes: list[str], kind: FileKind, dataset: MakeDataset[D]
) -> D:
    """The files of `root`, a folder a class.

    Args:
        classes: the names that labels stand for; None takes them from the folders, in the order of their names.
        notes: a line is appended for each thing that the user should know.
        kind, dataset: as in `open_class_folders`.
    """
    listing = Listing(root, kind)
    if not listing.classes:
        raise DataError(
            f"{root} holds no class folders: put the {kind.plural} into {root}/<class>/.{folder_hint(root)}"
        )
    names = listing.classes if classes is None else classes
    folders = {own: folder for folder, own in same_names(listing.classes, names, str(root)).items()}
    strangers = sorted(set(listing.classes) - set(folders.values()))
    if strangers:
        raise DataError(
            f"{root} has classes that the model was not trained on: {_some(strangers)}. "
            f"It knows {_some(names)}. Rename or remove those folders."
        )
    builder = NamesBuilder()
    labels: list[int] = []
    empty: list[str] = []
    for label, name in enumerate(names):
        found = listing.files(folders[name]) if name in folders else []
        if not found:
            empty.append(name)
        builder += found
        labels += [label] * len(found)
    files = builder.build()
    if listing.mixed.count and len(files):
        others = " and ".join(other.plural for other in KINDS.values() if other is not kind)
        first = os.fsdecode(files[0])
        raise DataError(
            f"{root} holds both {kind.plural}, such as {first}, and {others}, such as {listing.mixed.first[0]}: put "
            f"those that are no samples into another folder than {root}."
        )
    left_out = listing.notes()
    if empty and classes is None:
        reason = f"{root} has no {kind.plural} of {_some(empty)}: fill or remove the folder."
        raise DataError("\n".join([reason, *left_out]))
    if not len(files):
        raise DataError("\n".join([f"{root} holds no {kind.plural} ({', '.join(sorted(kind.endings))}).", *left_out]))
    if empty:
        notes.append(f"{root} has no {kind.plural} of {_some(empty)}; the other labels still match by name.")
    if len(names) == 1:
        inner = Listing(root / listing.classes[0], kind).classes if classes is None else ()
        advice = f" If {_some(inner)} in it are the classes, give {root / names[0]}." if len(inner) > 1 else ""
        notes.append(f"{root} has one class only, {names[0]}: there is no other class to distinguish it from.{advice}")
    if classes is None:
        notes += note_on_alike(names, str(root))
    notes += left_out
    return dataset(root, names, np.array(labels, np.int64), files)


def _some(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
