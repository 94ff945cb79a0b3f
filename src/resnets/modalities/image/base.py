"""What a dataset of images has besides `Dataset`."""

from __future__ import annotations

from typing import Any, Protocol

from PIL import Image

from resnets.modalities.base import Dataset, whole
from resnets.modalities.image.preprocessing import Background, Color
from resnets.modalities.image.read.decode_memory import one_image


class ImageDataset(Dataset, Protocol):
    """One split of images."""

    def image(self, index: int, color: Color, background: Background | None = None) -> Image.Image:
        """The decoded image `index`, in mode "RGB" or "L", composited on `background` where it is transparent.

        Raises:
            DataError: the image is damaged.
        """
        ...


class HasColor(Protocol):
    """Settings of an input that say how images are decoded."""

    @property
    def color(self) -> Color: ...

    @property
    def background(self) -> Background | None: ...


def upright_image(dataset: Any, index: int, settings: HasColor) -> Image.Image:
    """The decoded image of a sample, before it is resized.

    Raises:
        DataError: it is damaged.
    """
    dataset, index = whole(dataset, index)
    with one_image():
        image: Image.Image = dataset.image(index, settings.color, settings.background)
        return image
