"""Reads images of any size and the masks that lie on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from resnets.core.config import encode
from resnets.core.devices import constant
from resnets.modalities.base import Arrays, whole
from resnets.modalities.batch import Batch, Draws, Loaded, Slot
from resnets.modalities.image.base import upright_image
from resnets.modalities.image.canvas import Canvas
from resnets.modalities.image.canvas_augmentations import CanvasAugmentations
from resnets.modalities.image.placement import Placement
from resnets.modalities.image.read.decode_memory import one_image
from resnets.modalities.image.read.mask import VOID
from resnets.modalities.image.read.pillow import Pixels, to_pixels
from resnets.modalities.image.remarks import REMARKS, notes_on, remarks
from resnets.modalities.image.transforms.normalize import as_float
from resnets.modalities.rng import BatchRNG


class CanvasReader:
    """The `Reader` of images of any size with masks.

    Training samples are crops of one size; evaluation gets whole images, resized. Masks are (h, w) uint8 class numbers,
    `VOID` where a pixel counts for nothing, such as outside the image.
    """

    by_header = False  # masks have values that a header does not tell
    resident = False
    mixes = False

    def __init__(self, settings: Canvas, augmentations: CanvasAugmentations | None = None) -> None:
        self.settings = settings
        self.augmentations = augmentations or CanvasAugmentations()
        mean = tuple(round(255 * value) for value in settings.mean)
        self._fill = mean[::-1] if settings.color == "BGR" else mean

    @property
    def numbers(self) -> int:
        return self.augmentations.crop.numbers

    @property
    def identity(self) -> tuple[Any, ...]:
        channels = self.settings.channels
        plain = replace(self.settings, mean=(0.0,) * channels, std=(1.0,) * channels)
        return "Canvas", encode(plain), PIL.__version__

    def finishing_early(self) -> CanvasReader:
        return self

    def slots(self, size: int | None) -> dict[str, Slot]:
        shape = self.settings.shape(size)
        return {"inputs": Slot((self.settings.channels, *shape), np.uint8), "masks": Slot(shape, np.uint8)}

    def draw(self, rng: BatchRNG) -> Draws:
        # The text "crop" is part of the data format: another one gives other batches.
        return Draws(rng.generator("crop").random((rng.batch, self.numbers), np.float32))

    def sample(self, dataset: Any, index: int, u: NDArray[np.float32], size: int | None) -> Arrays:
        """As `Reader.sample`: "inputs" (channels, h, w) and "masks" (h, w), uint8, moved by one `Placement`."""
        settings = self.settings
        dataset, index = whole(dataset, index)
        with one_image():
            image = dataset.image(index, settings.color, settings.background)
            mask = dataset.mask(index)
            upright = settings.evaluation_size(image.height, image.width)
            placement = self.augmentations.crop.place(u, upright, settings.shape(size))
            return {"inputs": self._placed(image, placement), "masks": placement.mask(mask, VOID)}

    def write(self, sample: Arrays, into: Arrays, numbers: Any) -> None:
        for name, values in sample.items():
            into[name][:] = values

    def finish(self, batch: Batch, rng: BatchRNG) -> Batch:
        """As `Reader.finish`: "inputs" (N, C, h, w) float32 normalised, "masks" (N, h, w) uint8."""
        images, masks = self.augmentations.apply_to_batch(batch["inputs"], batch["masks"], rng, self.settings.color)
        return batch | {"inputs": self.normalize(images), "masks": masks}

    def examine(self, dataset: Any, index: int, prepared: bool) -> tuple[NDArray[Any] | None, int]:
        """As `Reader.examine`: decodes the image and its mask; `prepared` gives the image as evaluation sees it."""
        settings = self.settings
        dataset, index = whole(dataset, index)
        with one_image():
            image = dataset.image(index, settings.color, settings.background)
            dataset.target(index)
            encoded = dataset.encoded(index)
            bits = sum(1 << REMARKS.index(each) for each in remarks(encoded)) if encoded is not None else 0
            return (self._whole(image) if prepared else None), bits

    def load(self, dataset: Any, index: int, tta: str) -> Loaded:
        """As `Reader.load`: the whole image and, for tta "flip", its mirror image."""
        settings = self.settings
        dataset, index = whole(dataset, index)
        with one_image():
            image = dataset.image(index, settings.color, settings.background)
            pixels = self._whole(image)
            size = (image.height, image.width)
        if tta == "flip":
            mirrored = np.ascontiguousarray(pixels[:, :, ::-1])
            return Loaded((pixels, mirrored), (1, 1), (False, True), size)
        return Loaded((pixels,), size=size)

    def load_prepared(self, prepared: NDArray[Any], tta: str) -> Loaded | None:
        return None

    def normalize(self, inputs: Tensor) -> Tensor:
        mean, std = (_by_channel(values, inputs.device) for values in (self.settings.mean, self.settings.std))
        return (as_float(inputs) - mean).div_(std)

    def thumbnail(self, dataset: Any, index: int) -> Image.Image:
        """The upright image."""
        return upright_image(dataset, index, self.settings)

    def notes(self, remarks: Mapping[str, int], samples: int, split: str) -> tuple[str, ...]:
        return notes_on(remarks, samples, split, self.settings.background)  # type: ignore[arg-type]

    def _whole(self, image: Image.Image) -> Pixels:
        size = self.settings.evaluation_size(image.height, image.width)
        return self._placed(image, Placement(size, (0, 0), size))

    def _placed(self, image: Image.Image, placement: Placement) -> Pixels:
        settings = self.settings
        placed = placement.image(image, self._fill, settings.interpolation, antialias=settings.antialias)
        return to_pixels(placed, settings.color)


def _by_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """(channels, 1, 1) on `device`."""
    return constant(values, device)[:, None, None]
