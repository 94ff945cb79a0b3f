"""Shards of WebDataset: `*.tar` files with `NAME.jpg` and `NAME.cls`, or `.json` or `.txt`, beside it.

Shards called `train-000.tar`, `val-000.tar` and `test-000.tar`, or in folders of these names, are splits; others are
one split, called all. A `.cls` file holds the name of a class or its number. With numbers, a file `classes.txt` beside
the shards, with a name a line, says what they are called.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.core.errors import DataError
from resnets.modalities.base import Arrays, Dataset, DatasetSplits, OnDisk, SplitName
from resnets.modalities.class_names import note_on_alike, same_names
from resnets.modalities.faults import Fault, Faults
from resnets.modalities.file_names import normalized_name
from resnets.modalities.image.datasets.masks import CLASSES_FILE
from resnets.modalities.image.preprocessing import Background, Color
from resnets.modalities.image.read.pillow import open_image
from resnets.modalities.shards import ShardIndex, find_shards, looks_like_shards, open_index
from resnets.modalities.table_cells import SPLIT_NAMES

_IN_NAME = re.compile(rf"(?:^|[-_.])({'|'.join(SPLIT_NAMES)})(?:[-_.]|$)", re.IGNORECASE)
_SHOWN = 8


@dataclass(frozen=True, eq=False)
class WebDataset:
    """Images in tar shards, read from there one at a time, in any order.

    Args:
        order: (N,) their numbers in the index: by class, then by name, as folders of classes have them.
        labels: (N,)
    """

    index: ShardIndex
    order: NDArray[np.int64]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]

    @property
    def modality(self) -> str:
        return "image"

    @property
    def task(self) -> str:
        return "classification"

    @property
    def targets(self) -> Mapping[str, NDArray[Any]]:
        return {"labels": self.labels}

    @property
    def strata(self) -> NDArray[np.int64]:
        return self.labels

    @property
    def on_disk(self) -> tuple[OnDisk, ...]:
        return ()

    @property
    def doubtful(self) -> NDArray[np.bool_]:
        """(N,) whether only decoding can say that the image is whole."""
        return np.asarray(self.index.where["whole"][self.order] == 0)

    def __len__(self) -> int:
        return len(self.labels)

    def target(self, index: int) -> Arrays:
        return {"labels": self.labels[index]}

    def image(self, index: int, color: Color, background: Background | None = None) -> Image.Image:
        """The decoded image `index`."""
        try:
            data = self.index.read(int(self.order[index]))
        except OSError as error:
            raise DataError(f"{self.name(index)} cannot be read: {error}. Take another copy of the shard.") from error
        return open_image(data, color, background=background, name=self.name(index))

    def encoded(self, index: int) -> bytes | None:
        try:
            return self.index.read(int(self.order[index]))
        except OSError:
            return None

    def fingerprint(self, index: int) -> bytes:
        row = self.index.where[self.order[index]]
        return b"".join([self.key(index), b"\0", row["size"].tobytes(), row["digest"].tobytes()])

    def name(self, index: int) -> str:
        return self.index.path(int(self.order[index]))

    def key(self, index: int) -> bytes:
        return normalized_name(self.index.names[int(self.order[index])])


def looks_like_webdataset(path: Path) -> bool:
    """Whether `path` is a shard, or a folder of shards, or has folders of them for its splits."""
    return looks_like_shards(path) or (path.is_dir() and any(map(looks_like_shards, _split_folders(path).values())))


def open_webdataset(path: Path, faults: Faults | None = None) -> DatasetSplits:
    """The splits of the shards in `path`, a folder or one shard.

    Args:
        faults: gets what is wrong with shards and samples, in place of an error; those samples are left out.

    Raises:
        DataError: a shard is damaged, a sample has no label, or one that is nowhere in train.
    """
    by_split = _shards(path)
    if not by_split:
        raise DataError(f"{path} holds no shards: they are .tar files, not compressed.")
    indices = {split: open_index(shards, faults) for split, shards in by_split.items()}
    train = indices.get("train", indices.get("all"))
    if train is None:
        raise DataError(f"{path} has shards of {', '.join(indices)}, and none of train.")
    names = _names_of_numbers(path)
    classes = names or tuple(sorted({label.decode() for label in train.labels}))
    splits: dict[SplitName, Dataset] = {
        split: _dataset(indices[split], classes, names, f"{path} ({split})", faults)
        for split in ("train", "val", "test", "all")
        if split in indices
    }
    notes = note_on_alike(classes, str(path))
    if len(classes) == 1:
        notes.append(f"{path} has one class only, {classes[0]}: there is no other class to distinguish it from.")
    return DatasetSplits(splits, notes=tuple(notes))


def _dataset(
    index: ShardIndex, classes: tuple[str, ...], named: tuple[str, ...], where: str, faults: Faults | None
) -> WebDataset:
    texts = sorted({label.decode() for label in index.labels})
    if named and all(text.isascii() and text.isdecimal() for text in texts):
        number = {text: int(text) for text in texts if int(text) < len(named)}
    else:
        known = same_names(texts, classes, where, merged=True)
        number = {text: classes.index(own) for text, own in known.items()}
    if faults is not None:
        kept = [each for each, label in enumerate(index.labels) if label.decode() in number]
        for each in sorted(set(range(len(index.labels))) - set(kept)):
            message = f"{index.path(each)} has the label {index.labels[each].decode()}, which is no class."
            faults.append(Fault("unknown_class", index.path(each), message))
        index = index.part(kept)
    elif strangers := [text for text in texts if text not in number]:
        more = f" and {len(strangers) - _SHOWN} more" if len(strangers) > _SHOWN else ""
        known_ones = ", ".join(classes[:_SHOWN]) + (" and more" if len(classes) > _SHOWN else "")
        raise DataError(
            f"{where} has labels that are no classes: {', '.join(strangers[:_SHOWN])}{more}. Known are {known_ones}."
        )
    labels = np.fromiter((number[label.decode()] for label in index.labels), np.int64, len(index.labels))
    order = np.array(sorted(range(len(labels)), key=lambda each: (labels[each], index.names[each])), np.int64)
    return WebDataset(index, order, classes, labels[order])


def _shards(path: Path) -> dict[SplitName, tuple[Path, ...]]:
    """The shards of each split.

    Raises:
        DataError: some shards in a folder are of a split, by their names, and others are not.
    """
    if path.is_dir() and (folders := _split_folders(path)):
        return {split: shards for split, folder in folders.items() if (shards := find_shards(folder))}
    found: dict[SplitName, list[Path]] = {}
    for shard in find_shards(path):
        match = _IN_NAME.search(shard.stem) if path.is_dir() else None
        found.setdefault(SPLIT_NAMES[match[1].lower()] if match else "all", []).append(shard)
    if "all" in found and len(found) > 1:
        raise DataError(
            f"{path} has shards of splits, by their names, and others, such as {found['all'][0].name}: give every "
            "shard a name such as train-000.tar, or none."
        )
    return {split: tuple(shards) for split, shards in found.items()}


def _split_folders(path: Path) -> dict[SplitName, Path]:
    found: dict[SplitName, Path] = {}
    for name, split in SPLIT_NAMES.items():
        if split not in found and find_shards(path / name):
            found[split] = path / name
    return found


def _names_of_numbers(path: Path) -> tuple[str, ...]:
    """The names in `classes.txt` beside the shards; empty where there is none."""
    file = (path if path.is_dir() else path.parent) / CLASSES_FILE
    try:
        names = tuple(line.strip() for line in file.read_text("utf-8-sig").splitlines() if line.strip())
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as UTF-8 ({error}).") from error
    if len(set(names)) < len(names):
        raise DataError(f"{file} names a class twice: each line is another class.")
    return names
