"""Recordings that a user wants predictions of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import UsageError
from resnets.modalities.audio.read import File
from resnets.modalities.base import Arrays, OnDisk


@dataclass(frozen=True)
class GivenSounds:
    """Recordings without targets.

    Args:
        inputs: paths, bytes of files, or pairs of samples, (N,) or (N, channels), and their rate in Hz. Samples are
            from -1 to 1, or whole numbers of all their range.

    Raises:
        UsageError: an input is none of these.
    """

    inputs: tuple[Any, ...]

    modality: ClassVar[str] = "audio"
    task: ClassVar[str] = "classification"
    classes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for each in self.inputs:
            _as_file(each)

    @property
    def targets(self) -> Mapping[str, NDArray[Any]]:
        return {}

    @property
    def strata(self) -> NDArray[np.int64]:
        return np.zeros(len(self), np.int64)

    @property
    def on_disk(self) -> tuple[OnDisk, ...]:
        return ()

    def __len__(self) -> int:
        return len(self.inputs)

    def target(self, index: int) -> Arrays:
        return {}

    def recording(self, index: int) -> File:
        return _as_file(self.inputs[index])

    def encoded(self, index: int) -> bytes | None:
        file = self.recording(index)
        if isinstance(file, Path):
            try:
                return file.read_bytes()
            except OSError:
                return None
        return file if isinstance(file, bytes) else None

    def fingerprint(self, index: int) -> bytes:
        return b""

    def name(self, index: int) -> str:
        file = self.recording(index)
        return str(file) if isinstance(file, Path) else f"recording {index}"

    def key(self, index: int) -> bytes:
        return os.fsencode(self.name(index))


def _as_file(given: Any) -> File:
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    if isinstance(given, str | os.PathLike):
        return Path(os.fspath(given))
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], int | np.integer):
        return np.asarray(given[0]), int(given[1])
    raise UsageError(
        f"A recording is a path, the bytes of a file, or a pair (samples, rate in Hz), not {type(given).__name__}."
    )
