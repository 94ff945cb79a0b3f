"""Images with masks: which class each pixel has. `mask_files` finds the pairs of files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError, UsageError
from resnets.core.workers import usable_cores
from resnets.modalities.base import Dataset, DatasetSplits, SplitName
from resnets.modalities.file_names import Names
from resnets.modalities.image.datasets.mask_files import Pair, find_pairs
from resnets.modalities.image.datasets.with_masks import ImagesWithMasks
from resnets.modalities.image.datasets.yolo_yaml import parse_yaml
from resnets.modalities.image.read.mask import VOID, read_mask

CLASSES_FILE, CLASSES_YAML = "classes.txt", "semantic.yaml"
_UNKNOWN = -1


@dataclass(frozen=True)
class MaskDataset(ImagesWithMasks):
    """Images and masks whose values stand for classes.

    The classes are numbered in the order of their values in the masks, without the value that is ignored.

    Args:
        values: name of the class by value in the masks, in ascending order of the values.
        ignore: the value of pixels that count for nothing; None where all count.
    """

    values: tuple[tuple[int, str], ...]
    ignore: int | None = VOID

    @cached_property
    def classes(self) -> tuple[str, ...]:
        return tuple(name for value, name in self.values if value != self.ignore)

    def mask(self, index: int) -> NDArray[np.uint8]:
        """(H, W) class numbers; `VOID` where a pixel counts for nothing.

        Raises:
            DataError: the mask is damaged, no mask, or has a value that is no class.
        """
        values = read_mask(self.mask_path(index))
        numbers = self._numbers[values]
        if (numbers == _UNKNOWN).any():
            raise DataError(self._unknown_values(index, values[numbers == _UNKNOWN]))
        return numbers.astype(np.uint8)

    def ignoring(self, value: int | None) -> MaskDataset:
        """The dataset in which pixels of another `value` count for nothing, and those of 255 are like others.

        Raises:
            DataError: one class is left, or none.
        """
        dataset = replace(self, ignore=value)
        if len(dataset.classes) < 2:
            hint = " If 255 is a class, say so with task.ignore=none." if value == VOID else ""
            raise DataError(
                f"{self.root}: besides {value}, which is ignored, the masks have "
                f"{'one class, ' + dataset.classes[0] if dataset.classes else 'no class'}, and two are needed.{hint}"
            )
        if len(dataset.classes) > VOID:
            raise DataError(f"{self.root}: the masks have {len(dataset.classes)} classes; at most {VOID} are possible.")
        return dataset

    @cached_property
    def _numbers(self) -> NDArray[np.int16]:
        """(256,) the class number of each value in the files."""
        table = np.full(256, _UNKNOWN, np.int16)
        for number, value in enumerate(value for value, _ in self.values if value != self.ignore):
            table[value] = number
        if self.ignore is not None:
            table[self.ignore] = VOID
        return table

    def _unknown_values(self, index: int, unknown: NDArray[np.uint8]) -> str:
        found = ", ".join(map(str, np.unique(unknown)[:8].tolist()))
        known = ", ".join(str(value) for value, _ in self.values[:12] if value != self.ignore)
        more = ", ..." if len(self.values) > 12 else ""
        void = "none is ignored" if self.ignore is None else f"{self.ignore} is ignored"
        return (
            f"{self.mask_path(index)} has the value {found}, which is no class: the classes are {known}{more}, and "
            f"{void}. Correct the mask or {CLASSES_FILE}, or give task.ignore=VALUE."
        )


def open_masks(root: Path) -> DatasetSplits:
    """The images and masks in `root`; see `mask_files.find_pairs` for how they may be laid out.

    `classes.txt` names the classes, line n (from 0) that of the value n; or `semantic.yaml` does, with `classes:` and
    the name of each value. Without them, the values that the masks of `train` have are the classes, named by their
    number; all of these masks are read for that.

    Raises:
        DataError: nothing is found, an image has no mask, or a mask no image.
    """
    pairs, notes = find_pairs(root)
    values = values_in(root)
    if values is None:
        seen = _seen_values([root / os.fsdecode(mask) for _, mask in _of_training(pairs)])
        values = tuple((value, str(value)) for value in seen)
    splits: dict[SplitName, Dataset] = {
        split: MaskDataset(root, Names.of(i for i, _ in found), Names.of(m for _, m in found), values)
        for split, found in pairs.items()
    }
    return DatasetSplits(splits, notes=tuple(notes), format="masks")


def _of_training(pairs: Mapping[SplitName, list[Pair]]) -> list[Pair]:
    """The pairs of `train`, or of all where there is no such split."""
    return pairs["train"] if "train" in pairs else [pair for found in pairs.values() for pair in found]


def values_in(root: Path) -> tuple[tuple[int, str], ...] | None:
    """The values in the masks of `root` and their names, rising; None where no file names them.

    Raises:
        DataError: the file is wrong.
        UsageError: PyYAML is missing.
    """
    file = root / CLASSES_YAML
    if (named := named_values(root / CLASSES_FILE)) is not None or not file.is_file():
        return named
    names = parse_yaml(file).get("classes")
    good = isinstance(names, dict) and all(
        isinstance(value, int) and 0 <= value <= VOID and isinstance(name, str) and name.strip()
        for value, name in names.items()
    )
    if not good or not isinstance(names, dict) or len(set(names.values())) < len(names):
        raise DataError(f"{file}: classes takes a name of its own for each value from 0 to {VOID}, such as 0: sky.")
    return tuple(sorted((value, name.strip()) for value, name in names.items()))


def named_values(file: Path) -> tuple[tuple[int, str], ...] | None:
    """The lines of `classes.txt` and their numbers; None where there is no such file."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Cannot read {file}: {error}. It takes the name of a class a line, in UTF-8.") from error
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or len(names) > 256 or "" in names or twice:
        what = f"has {', '.join(twice)} twice" if twice and twice != [""] else f"has {len(names)} lines or an empty one"
        raise DataError(f"{file} {what}: it takes 1 to 256 different names of classes, one a line.")
    return tuple(enumerate(names))


def _seen_values(files: list[Path]) -> list[int]:
    """The values in the masks `files`, sorted. Damaged ones are passed over, as whoever reads them names them."""

    def values(file: Path) -> NDArray[np.int64]:
        try:
            return np.bincount(read_mask(file).ravel(), minlength=256)
        except DataError:
            return np.zeros(256, np.int64)

    with ThreadPoolExecutor(usable_cores()) as pool:
        total = sum(pool.map(values, files), np.zeros(256, np.int64))
    if not total.any():
        read_mask(files[0])  # raises what is wrong with it
        raise UsageError(f"The masks hold no pixels, such as {files[0]}.")
    return [int(value) for value in np.flatnonzero(total)]
