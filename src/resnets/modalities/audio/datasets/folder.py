"""Folders of recordings: `train/<class>/*`, `val/<class>/*` and `test/<class>/*`, or `<class>/*` alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from resnets.modalities.base import Arrays, DatasetSplits, OnDisk
from resnets.modalities.class_folders import open_class_folders
from resnets.modalities.file_names import Names, normalized_name
from resnets.modalities.listing import SOUNDS, first_kind


@dataclass(frozen=True)
class SoundFolder:
    """Recordings in `root/<class>/`, read from their files one at a time.

    Args:
        labels: (N,)
        files: (N,) names relative to `root`, such as b"cat/1.wav".
    """

    root: Path
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    files: Names

    modality: ClassVar[str] = "audio"
    task: ClassVar[str] = "classification"

    @property
    def targets(self) -> Mapping[str, NDArray[Any]]:
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

    def recording(self, index: int) -> Path:
        return self.on_disk[0].path(index)

    def encoded(self, index: int) -> bytes | None:
        return self.on_disk[0].encoded(index)

    def fingerprint(self, index: int) -> bytes:
        return b""

    def name(self, index: int) -> str:
        return str(self.recording(index))

    def key(self, index: int) -> bytes:
        return normalized_name(self.files[index])


def looks_like_sounds(root: Path) -> bool:
    """Whether the first file in a folder below `root` that is a sample of any modality is a recording.

    Raises:
        DataError: a folder cannot be listed.
    """
    return first_kind(root) is SOUNDS


def open_sounds(root: Path) -> DatasetSplits:
    """The recordings in `root`; see `class_folders.open_class_folders`."""
    return open_class_folders(root, SOUNDS, SoundFolder)
