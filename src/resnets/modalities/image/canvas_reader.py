"""Reads images of any size and the masks or boxes that lie on them."""

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
from resnets.modalities.image.canvas import SCALES, Canvas
from resnets.modalities.image.canvas_augmentations import CanvasAugmentations
from resnets.modalities.image.canvas_targets import targets_of
from resnets.modalities.image.placement import Placement, Size
from resnets.modalities.image.read.decode_memory import one_image
from resnets.modalities.image.read.pillow import Pixels, to_pixels
from resnets.modalities.image.remarks import REMARKS, notes_on, remarks
from resnets.modalities.image.transforms.normalize import as_float
from resnets.modalities.rng import BatchRNG


class CanvasReader:
    """The `Reader` of images of any size with masks or boxes.

    Training samples lie on canvases of one size; evaluation gets whole images, resized. What lies on them is in
    `canvas_targets`.
    """

    by_header = False  # masks have values that a header does not tell, and boxes a size that the image must have
    resident = False

    def __init__(self, settings: Canvas, augmentations: CanvasAugmentations | None = None) -> None:
        self.settings = settings
        self.augmentations = augmentations or CanvasAugmentations()
        mean = tuple(round(255 * value) for value in settings.mean)
        self.targets = targets_of(settings.targets)
        self._fill = mean[::-1] if settings.color == "BGR" else mean

    @property
    def numbers(self) -> int:
        return self.augmentations.crop.numbers

    @property
    def mixes(self) -> bool:
        return self.augmentations.copy_paste is not None

    @property
    def ragged(self) -> tuple[str, ...]:
        return self.targets.ragged

    @property
    def identity(self) -> tuple[Any, ...]:
        channels = self.settings.channels
        plain = replace(self.settings, mean=(0.0,) * channels, std=(1.0,) * channels)
        return "Canvas", encode(plain), PIL.__version__

    def finishing_early(self) -> CanvasReader:
        return self

    def slots(self, size: int | None) -> dict[str, Slot]:
        shape = self.settings.shape(size)
        return {"inputs": Slot((self.settings.channels, *shape), np.uint8), **self.targets.slots(shape)}

    def draw(self, rng: BatchRNG) -> Draws:
        # The text "crop" is part of the data format: another one gives other batches.
        return Draws(rng.generator("crop").random((rng.batch, self.numbers), np.float32))

    def sample(self, dataset: Any, index: int, u: NDArray[np.float32], size: int | None) -> Arrays:
        """As `Reader.sample`: "inputs" (channels, h, w) uint8 and what lies on them, moved by one `Placement`."""
        settings = self.settings
        dataset, index = whole(dataset, index)
        with one_image():
            image = dataset.image(index, settings.color, settings.background)
            upright = (image.height, image.width)
            placement = self.augmentations.crop.place(u, upright, settings, settings.shape(size))
            placed = self.targets.place(dataset, index, upright, placement)
            return {"inputs": self._placed(image, placement), **placed}

    def write(self, sample: Arrays, into: Arrays, numbers: Any) -> None:
        for name, array in into.items():
            array[...] = sample[name]

    def finish(self, batch: Batch, rng: BatchRNG) -> Batch:
        """As `Reader.finish`: "inputs" (N, C, h, w) float32 normalised, and what lies on them."""
        batch = self.augmentations.apply_to_batch(batch, self.targets, rng, self.settings.color)
        return batch | {"inputs": self.normalize(batch["inputs"])}

    def examine(self, dataset: Any, index: int, prepared: bool) -> tuple[NDArray[Any] | None, int]:
        """As `Reader.examine`: decodes the image and reads what lies on it; `prepared` gives evaluation's input."""
        settings = self.settings
        dataset, index = whole(dataset, index)
        with one_image():
            image = dataset.image(index, settings.color, settings.background)
            getattr(dataset, "check_target", dataset.target)(index)
            encoded = dataset.encoded(index)
            bits = sum(1 << REMARKS.index(each) for each in remarks(encoded)) if encoded is not None else 0
            whole_image = self._placed(image, self._whole((image.height, image.width))) if prepared else None
            return whole_image, bits

    def load(self, dataset: Any, index: int, tta: str) -> Loaded:
        """As `Reader.load`: the whole image, for other tta than "center" also its mirror image, and for "multi-scale"
        both at each of `SCALES`."""
        settings = self.settings
        dataset, index = whole(dataset, index)
        with one_image():
            image = dataset.image(index, settings.color, settings.background)
            size = (image.height, image.width)
            placements = [self._whole(size, scale) for scale in (SCALES if tta == "multi-scale" else (1.0,))]
            inputs = [self._placed(image, placement) for placement in placements]
        regions = [placement.region for placement in placements]
        if tta == "center":
            return Loaded(tuple(inputs), size=size, regions=tuple(regions))
        mirrored = [np.ascontiguousarray(pixels[:, :, ::-1]) for pixels in inputs]
        other = [
            (pixels.shape[2] - right, top, pixels.shape[2] - left, bottom)
            for pixels, (left, top, right, bottom) in zip(inputs, regions, strict=True)
        ]
        count = len(inputs)
        return Loaded(
            (*inputs, *mirrored), (1,) * 2 * count, (False,) * count + (True,) * count, size, (*regions, *other)
        )

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

    def _whole(self, size: Size, scale: float = 1.0) -> Placement:
        """Where an image of `size` lies in an input of evaluation, at a scale of its usual size."""
        settings = self.settings
        resized = settings.evaluation_size(*size, scale)
        canvas = settings.evaluation_canvas(resized, scale)
        return Placement(resized, (0, 0), canvas, settings.offset(resized, canvas))

    def _placed(self, image: Image.Image, placement: Placement) -> Pixels:
        settings = self.settings
        placed = placement.image(image, self._fill, settings.interpolation, antialias=settings.antialias)
        return to_pixels(placed, settings.color)


def _by_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """(channels, 1, 1) on `device`."""
    return constant(values, device)[:, None, None]
