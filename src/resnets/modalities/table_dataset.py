"""The dataset that a table lists: files with a label, labels or a number each."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.modalities.base import Arrays, OnDisk
from resnets.modalities.file_names import Names, normalized_name
from resnets.modalities.image.preprocessing import Background, Color
from resnets.modalities.image.read.pillow import open_image


@dataclass(frozen=True)
class TableDataset:
    """One split of a table's samples, read from their files one at a time.

    Args:
        root: the folder of the table.
        files: (N,) names relative to `root`.
        modality: "image" or "audio".
        task: "classification", "multi-label" or "regression".
        classes: names of the columns of the targets; ("target",) for regression.
        targets: "labels", (N,) int64 or, for several labels, (N, classes) uint8; or "target", (N,) float32.
        groups: (N,) what the column `group` says; see `resnets.data.groups`. None where there is none.
        folds: (N,) what the column `fold` says; see `resnets.data.folds`.
    """

    root: Path
    files: Names
    modality: str
    task: str
    classes: tuple[str, ...]
    targets: Mapping[str, NDArray[Any]]
    groups: Names | None = None
    folds: Names | None = None

    @property
    def strata(self) -> NDArray[np.int64]:
        labels = self.targets.get("labels")
        return labels if labels is not None and labels.ndim == 1 else np.zeros(len(self), np.int64)

    @property
    def on_disk(self) -> tuple[OnDisk, ...]:
        return (OnDisk(self.root, self.files),)

    def __len__(self) -> int:
        return len(self.files)

    def target(self, index: int) -> Arrays:
        return {name: values[index] for name, values in self.targets.items()}

    def path(self, index: int) -> Path:
        return self.on_disk[0].path(index)

    def image(self, index: int, color: Color, background: Background | None = None) -> Image.Image:
        """The decoded image `index`, of a table of images."""
        return open_image(self.path(index), color, background=background)

    def recording(self, index: int) -> Path:
        """The file of sample `index`, of a table of sounds."""
        return self.path(index)

    def encoded(self, index: int) -> bytes | None:
        return self.on_disk[0].encoded(index)

    def fingerprint(self, index: int) -> bytes:
        return b""

    def name(self, index: int) -> str:
        return str(self.path(index))

    def key(self, index: int) -> bytes:
        return normalized_name(self.files[index])


@dataclass(frozen=True)
class FileProblems:
    """What is wrong with the files of a table, by number: those that are not there, and those outside its folder."""

    missing: Sequence[int]
    outside: Sequence[int]


def check_files(root: Path, names: Sequence[str]) -> FileProblems:
    """Finds the files that are missing or, by a link, outside `root`; folders and pipes count as missing.

    Args:
        names: relative to `root`, without `..`.
    """
    real_root = os.path.realpath(root)
    inside = {real_root: True}
    missing, outside = [], []
    for number, name in enumerate(names):
        path = os.path.join(root, name)
        folder = os.path.dirname(path)
        if folder not in inside:
            inside[folder] = _is_below(os.path.realpath(folder), real_root)
        try:
            found = os.lstat(path)
            link = stat.S_ISLNK(found.st_mode)
            if link:
                found = os.stat(path)
        except OSError:
            missing.append(number)
            continue
        if not inside[folder] or (link and not _is_below(os.path.realpath(path), real_root)):
            outside.append(number)
        elif not stat.S_ISREG(found.st_mode):
            missing.append(number)
    return FileProblems(missing, outside)


def _is_below(path: str, root: str) -> bool:
    return os.path.join(path, "").startswith(os.path.join(root, ""))
