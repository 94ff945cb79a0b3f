"""What the datasets of images with a mask each have in common; `masks` and `panoptic` say how a mask is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.core.errors import DataError
from resnets.modalities.base import Arrays, OnDisk
from resnets.modalities.file_names import Names, normalized_name
from resnets.modalities.image.preprocessing import Background, Color
from resnets.modalities.image.read.mask import mask_size
from resnets.modalities.image.read.pillow import open_image


@dataclass(frozen=True, eq=False)
class ImagesWithMasks(ABC):
    """Images and masks in the folder `root`, read from their files one at a time.

    Args:
        images, masks: (N,) names relative to `root`.
    """

    root: Path
    images: Names
    masks: Names

    @property
    def modality(self) -> str:
        return "image"

    @property
    def task(self) -> str:
        return "segmentation"

    @property
    def targets(self) -> Mapping[str, NDArray[Any]]:
        return {}

    @property
    def strata(self) -> NDArray[np.int64]:
        return np.zeros(len(self), np.int64)

    @property
    def on_disk(self) -> tuple[OnDisk, ...]:
        return OnDisk(self.root, self.images), OnDisk(self.root, self.masks)

    def __len__(self) -> int:
        return len(self.images)

    def path(self, index: int) -> Path:
        return self.on_disk[0].path(index)

    def mask_path(self, index: int) -> Path:
        return self.on_disk[1].path(index)

    def image(self, index: int, color: Color, background: Background | None = None) -> Image.Image:
        """The decoded image, upright.

        Raises:
            DataError: it is damaged, or its mask has another size.
        """
        path, mask = self.path(index), self.mask_path(index)
        image = open_image(path, color, background=background)
        height, width = mask_size(mask)
        if (width, height) != image.size:
            raise DataError(
                f"{mask} has {width} x {height} pixels, and its image {path}, upright, {image.width} x "
                f"{image.height}: they must have the same size."
            )
        return image

    @abstractmethod
    def mask(self, index: int) -> NDArray[np.uint8]:
        """(H, W) class numbers; `VOID` where a pixel counts for nothing.

        Raises:
            DataError: the mask is damaged, or has a value that is no class.
        """

    def target(self, index: int) -> Arrays:
        return {"masks": self.mask(index)}

    def encoded(self, index: int) -> bytes | None:
        return self.on_disk[0].encoded(index)

    def fingerprint(self, index: int) -> bytes:
        """What the target of a sample is made of besides its files, the same on every machine."""
        return b""

    def name(self, index: int) -> str:
        return str(self.path(index))

    def key(self, index: int) -> bytes:
        return normalized_name(self.images[index])
