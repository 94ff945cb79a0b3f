"""Folders of images: `train/<class>/*`, `val/<class>/*` and `test/<class>/*`, or `<class>/*` alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.core.renamed import renamed_fields
from resnets.modalities import class_folders
from resnets.modalities.base import Arrays, DatasetSplits, OnDisk
from resnets.modalities.class_folders import open_class_folders
from resnets.modalities.file_names import Names, normalized_name
from resnets.modalities.image.preprocessing import Background, Color
from resnets.modalities.image.read.pillow import open_image
from resnets.modalities.listing import IMAGES


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
        return self.on_disk[0].path(index)

    def image(self, index: int, color: Color, background: Background | None = None) -> Image.Image:
        return open_image(self.path(index), color, background=background)

    def encoded(self, index: int) -> bytes | None:
        return self.on_disk[0].encoded(index)

    def name(self, index: int) -> str:
        return str(self.path(index))

    def key(self, index: int) -> bytes:
        return normalized_name(self.files[index])


def open_folder(root: Path) -> DatasetSplits:
    """The images in `root`; see `class_folders.open_class_folders`."""
    return open_class_folders(root, IMAGES, FolderDataset)


def read_classes(root: Path, classes: tuple[str, ...] | None, notes: list[str]) -> FolderDataset:
    """The images of `root`, a folder a class; see `class_folders.read_classes`."""
    return class_folders.read_classes(root, classes, notes, IMAGES, FolderDataset)
