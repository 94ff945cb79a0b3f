"""Images that a user wants predictions of: paths, bytes of files, or Pillow's images, without targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.modalities.base import Arrays, OnDisk
from resnets.modalities.image.preprocessing import Background, Color
from resnets.modalities.image.read.pillow import open_image

ImageInput = str | Path | bytes | Image.Image


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
        given = self.inputs[index]
        return open_image(Path(given) if isinstance(given, str) else given, color, background=background)

    def encoded(self, index: int) -> bytes | None:
        given = self.inputs[index]
        return given if isinstance(given, bytes) else None

    def fingerprint(self, index: int) -> bytes:
        return b""

    def name(self, index: int) -> str:
        given = self.inputs[index]
        return str(given) if isinstance(given, str | Path) else "the image"

    def key(self, index: int) -> bytes:
        return self.name(index).encode(errors="surrogateescape")
