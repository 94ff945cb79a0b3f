"""Images that a user wants predictions of: paths, bytes of files, Pillow's images, or arrays, without targets."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.core.errors import DataError
from resnets.modalities.base import Arrays, OnDisk
from resnets.modalities.given import Given
from resnets.modalities.image.preprocessing import Background, Color
from resnets.modalities.image.read.arrays import image_of_array
from resnets.modalities.image.read.pillow import open_image

ImageInput = str | os.PathLike[str] | bytes | Image.Image | NDArray[Any] | Given

# An image of Pillow's may be given several times, and two threads must not read its file at once.
_LOCKS = tuple(threading.Lock() for _ in range(64))


@dataclass(frozen=True)
class GivenImages:
    """Images without targets, in the order in which they were given."""

    inputs: tuple[ImageInput, ...]

    @property
    def modality(self) -> str:
        return "image"

    @property
    def task(self) -> str:
        return ""

    @property
    def classes(self) -> tuple[str, ...]:
        return ()

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

    def image(self, index: int, color: Color, background: Background | None = None) -> Image.Image:
        """The decoded image `index`, as of any dataset of images."""
        given, name = self._value(index), self.name(index)
        if isinstance(given, DataError):
            raise given
        if isinstance(given, Image.Image):
            with _LOCKS[id(given) % len(_LOCKS)]:
                return open_image(_convertible(given), color, background=background, name=name)
        if isinstance(given, np.ndarray):
            given = image_of_array(given, name)
        elif not isinstance(given, bytes):
            given = Path(given)
        return open_image(given, color, background=background, name=name)

    def encoded(self, index: int) -> bytes | None:
        given = self._value(index)
        return given if isinstance(given, bytes) else None

    def fingerprint(self, index: int) -> bytes:
        return b""

    def name(self, index: int) -> str:
        given = self.inputs[index]
        if isinstance(given, Given):
            return given.name
        return os.fsdecode(given) if isinstance(given, str | os.PathLike) else f"image {index}"

    def key(self, index: int) -> bytes:
        return self.name(index).encode(errors="surrogateescape")

    def _value(self, index: int) -> Any:
        given = self.inputs[index]
        return given.value if isinstance(given, Given) else given


def _convertible(image: Image.Image) -> Image.Image:
    """`image` in a mode that Pillow converts to RGB and to grey; itself where it is in one."""
    between = {"La": "LA", "LAB": "RGB"}.get(image.mode)
    return image if between is None else image.convert(between)
