"""What a dataset of images has besides `Dataset`."""

from __future__ import annotations

from typing import Protocol

from PIL import Image

from resnets.modalities.base import Dataset
from resnets.modalities.image.preprocessing import Background, Color


class ImageDataset(Dataset, Protocol):
    """One split of images."""

    def image(self, index: int, color: Color, background: Background | None = None) -> Image.Image:
        """The decoded image `index`, in mode "RGB" or "L", composited on `background` where it is transparent.

        Raises:
            DataError: the image is damaged.
        """
        ...
