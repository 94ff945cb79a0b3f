"""Images that come as pairs of an image and a class from something with `[index]`, such as a Dataset of torch."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.core.errors import DataError
from resnets.modalities.base import Arrays, OnDisk
from resnets.modalities.given import as_array
from resnets.modalities.image.preprocessing import Background, Color
from resnets.modalities.image.read.arrays import image_of_array
from resnets.modalities.image.read.pillow import open_image

_MODES = {"La": "LA", "LAB": "RGB"}  # that Pillow converts neither to RGB nor to grey, each with one between


@dataclass(frozen=True, eq=False)
class MapImages:
    """Images of a sequence or of a map-style Dataset, read when they are asked for.

    Args:
        samples: `samples[index]` is an image, or begins with one: of Pillow's, an array or a tensor (`read.arrays`).
        classes: their names.
        labels: (N,) numbers in `classes`.
        title: what samples are called, before their number; part of their keys.
        is_pair: whether `samples[index]` is a pair of an image and a class.
        contents: (N,) what stands for each sample in a hash over the data; None for its name.
        one_at_a_time: whether `samples` may not be read by several threads at once.
    """

    samples: Any
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    title: str
    is_pair: bool
    contents: tuple[bytes, ...] | None = None
    one_at_a_time: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def modality(self) -> str:
        return "image"

    @property
    def task(self) -> str:
        return "classification"

    @property
    def targets(self) -> Mapping[str, NDArray[Any]]:
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

    def image(self, index: int, color: Color, background: Background | None = None) -> Image.Image:
        """The image `index`, as of any dataset of images."""
        name = self.name(index)
        turn: AbstractContextManager[Any] = self._lock if self.one_at_a_time else nullcontext()
        with turn:
            image, _ = read_pair(self.samples, index, name, is_pair=self.is_pair)
            return open_image(as_image(image, name), color, background=background, name=name)

    def encoded(self, index: int) -> bytes | None:
        return None

    def fingerprint(self, index: int) -> bytes:
        return self.key(index) + b"\0" if self.contents is None else self.contents[index]

    def name(self, index: int) -> str:
        return f"{self.title} {index}"

    def key(self, index: int) -> bytes:
        return self.name(index).encode()


def read_pair(samples: Any, index: int, name: str, *, is_pair: bool) -> tuple[Any, Any]:
    """The image and the class of a sample; the class is None where `samples` has images alone.

    Raises:
        DataError: it cannot be read, or is no pair.
    """
    try:
        found = samples[index]
    except Exception as error:  # it is the user's code
        raise DataError(f"{name} cannot be read: {type(error).__name__}: {error}") from error
    if not is_pair:
        return found, None
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise DataError(f"{name} is no pair of an image and a class, but {type(found).__name__}.")
    return found[0], found[1]


def as_image(image: Any, name: str) -> Image.Image:
    """An image of Pillow's: itself, in a mode that can be converted, or made from an array or a tensor.

    Raises:
        DataError: it is none of these; see `read.arrays`.
    """
    if isinstance(image, Image.Image):
        return image.convert(_MODES[image.mode]) if image.mode in _MODES else image
    array = as_array(image)
    if array is None or array.ndim not in (2, 3):
        kind = type(image).__name__ if array is None else f"an array of the shape {array.shape}"
        raise DataError(f"{name} is an image of Pillow's, or an array or a tensor of 2 or 3 dimensions, not {kind}.")
    return image_of_array(array, name)
