"""Recordings that a user wants predictions of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError, UsageError
from resnets.modalities.audio.read import File
from resnets.modalities.base import Arrays, OnDisk
from resnets.modalities.given import Given, sound_pair


@dataclass(frozen=True)
class GivenSounds:
    """Recordings without targets.

    Args:
        inputs: paths, bytes of files, or pairs of samples, (N,), (N, channels) or (channels, N) with N the larger, and
            their rate in Hz. Samples are from -1 to 1, or whole numbers of all their range.

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
        if isinstance(given := self.inputs[index], Given) and isinstance(given.value, DataError):
            raise given.value
        return _as_file(given)

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
        if isinstance(given := self.inputs[index], Given):
            return given.name
        file = self.recording(index)
        return str(file) if isinstance(file, Path) else f"recording {index}"

    def key(self, index: int) -> bytes:
        return os.fsencode(self.name(index))


def _as_file(given: Any) -> File:
    if isinstance(given, Given):
        given = given.value
    if isinstance(given, DataError):  # raised when it is read
        return b""
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    if isinstance(given, str | os.PathLike):
        return Path(os.fspath(given))
    if (pair := sound_pair(given)) is not None:
        samples, rate = pair
        return (samples.T if samples.ndim == 2 and samples.shape[0] < samples.shape[1] else samples), rate
    raise UsageError(
        f"A recording is a path, the bytes of a file, or a pair (samples, rate in Hz), not {type(given).__name__}."
    )
