"""Images in memory, such as those of digits and CIFAR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.core.renamed import renamed_fields
from resnets.modalities.base import Arrays, OnDisk
from resnets.modalities.image.preprocessing import Background, Color
from resnets.modalities.image.read.pillow import Pixels


@renamed_fields
@dataclass(frozen=True)
class InMemoryDataset:
    """Images of one size, in memory.

    Args:
        labels: (N,)
        pixels: (N, channels, height, width) uint8.
        title: what images are called, before their number; part of their keys.
        numbers: (N,) what images are numbered; by default from 0.
        names: (N,) what images are called, in place of title and number.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    pixels: Pixels
    title: str = "image"
    numbers: NDArray[np.int64] | None = None
    names: tuple[str, ...] | None = None

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
        return ()

    def __len__(self) -> int:
        return len(self.labels)

    def target(self, index: int) -> Arrays:
        return {"labels": self.labels[index]}

    def fingerprint(self, index: int) -> bytes:
        return bytes(self.pixels[index].tobytes())

    def image(self, index: int, color: Color, background: Background | None = None) -> Image.Image:
        pixels = self.pixels[index]
        image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
        return image.convert("L" if color == "L" else "RGB")

    def encoded(self, index: int) -> bytes | None:
        return None

    def name(self, index: int) -> str:
        if self.names is not None:
            return self.names[index]
        return f"{self.title} {index if self.numbers is None else self.numbers[index]}"

    def key(self, index: int) -> bytes:
        return self.name(index).encode(errors="surrogateescape")
