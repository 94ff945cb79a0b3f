"""Reads images of one size: decoded, cropped and augmented for training, prepared as for tests for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from resnets.core.config import encode
from resnets.modalities.base import Arrays, whole
from resnets.modalities.batch import Batch, Draws, Loaded, Slot
from resnets.modalities.image.base import upright_image
from resnets.modalities.image.preprocessing import OF_THE_CENTER, Preprocessing, TestTimeAugmentation
from resnets.modalities.image.read import jpeg
from resnets.modalities.image.read.decode_memory import one_image
from resnets.modalities.image.read.pillow import open_image, to_pixels
from resnets.modalities.image.remarks import REMARKS, Remark, notes_on, remarks
from resnets.modalities.image.transforms import Augmentations
from resnets.modalities.image.transforms.normalize import normalize, normalize_into
from resnets.modalities.image.transforms.resize import prepare
from resnets.modalities.image.tta import crop_weights, crops_of_center, tta_crops
from resnets.modalities.rng import BatchRNG


class ImageReader:
    """The `Reader` of images of one size.

    Args:
        augmentations: of training; without a crop, images are resized and cropped as in evaluation.
        early: whether images are flipped and normalised where they are decoded, while they are in that core's cache:
            one pass over memory in place of four over whole batches, to the same bits.
    """

    by_header = True
    ragged = ()

    def __init__(
        self, settings: Preprocessing, augmentations: Augmentations | None = None, *, early: bool = False
    ) -> None:
        self.settings = settings
        self.augmentations = augmentations or Augmentations()
        self._early = early

    @property
    def numbers(self) -> int:
        crop, policy = self.augmentations.crop, self.augmentations.auto_augment
        return (crop.numbers if crop else 0) + (policy.numbers if policy else 0)

    @property
    def resident(self) -> bool:
        return self.augmentations.holds

    @property
    def mixes(self) -> bool:
        return bool(self.augmentations.mix)

    @property
    def identity(self) -> tuple[Any, ...]:
        p = self.settings
        channels = p.channels
        plain = replace(p, mean=(0.0,) * channels, std=(1.0,) * channels, mean_image=None)
        return encode(plain), PIL.__version__

    def finishing_early(self) -> ImageReader:
        return ImageReader(self.settings, self.augmentations, early=True) if self.augmentations.only_flips() else self

    def slots(self, size: int | None) -> dict[str, Slot]:
        shape = (self.settings.channels, *self.settings.shape(size))
        return {"inputs": Slot(shape, np.float32 if self._early else np.uint8)}

    def draw(self, rng: BatchRNG) -> Draws:
        return Draws(self.augmentations.decoding_numbers(rng), self.augmentations.flipped(rng) if self._early else None)

    def sample(self, dataset: Any, index: int, u: NDArray[np.float32], size: int | None) -> Arrays:
        """As `Reader.sample`: "inputs", (channels, height, width) uint8."""
        p, crop = self.settings, self.augmentations.crop
        cropped = crop.numbers if crop else 0
        u, of_policy = u[:cropped], u[cropped:]
        if size is not None and (shape := p.shape(size)) != p.shape():
            p = replace(p, crop=shape, resize=max(size, p.resize))
        dataset, index = whole(dataset, index)
        with one_image():
            data = dataset.encoded(index) if crop is not None and crop.takes_pixels(p) else None
            pixels = jpeg.decode(data) if data is not None else None
            if crop is not None and pixels is not None:
                return self._changed(crop.crop_pixels(pixels, u, p).numpy(), of_policy)
            name = dataset.name(index)
            if data is not None:
                image = open_image(data, p.color, background=p.background, name=name)
            else:
                image = dataset.image(index, p.color, p.background)
            if crop is None:
                return self._changed(prepare(image, p, name), of_policy)
            return self._changed(to_pixels(crop(image, u, p), p.color), of_policy)

    def _changed(self, pixels: NDArray[np.uint8], u: NDArray[np.float32]) -> Arrays:
        """The "inputs" of a cropped image, (channels, height, width), after `auto_augment`."""
        if (policy := self.augmentations.auto_augment) is None:
            return {"inputs": pixels}
        color = self.settings.color
        upright = pixels[::-1] if color == "BGR" else pixels
        image = Image.fromarray(upright[0] if color == "L" else np.ascontiguousarray(upright.transpose(1, 2, 0)))
        return {"inputs": to_pixels(policy(image, u), color)}

    def write(self, sample: Arrays, into: Arrays, numbers: Any) -> None:
        """As `Reader.write`.

        Args:
            numbers: whether the image is flipped, where it is finished early.
        """
        pixels = sample["inputs"]
        if self._early:
            normalize_into(into["inputs"], pixels[..., ::-1] if numbers else pixels, self.settings)
        else:
            into["inputs"][:] = pixels

    def finish(self, batch: Batch, rng: BatchRNG) -> Batch:
        """As `Reader.finish`: "inputs" (N, C, H, W) float32 normalised. Of mixed images, "lam" (N,) is the weight of
        the image's own targets, and "partner_labels" has the other's labels."""
        images = batch["inputs"]
        if not self._early:
            images = self.augmentations.apply_to_batch(images, rng, self.settings.color)
            images = normalize(images, self.settings)
        images = self.augmentations.erase(images, rng)
        if not self.mixes:
            return batch | {"inputs": images}
        images, partners, lam = self.augmentations.mix_batch(images, rng)
        others = {f"partner_{name}": values[partners] for name, values in batch.targets().items()}
        return batch | {"inputs": images, "lam": lam, **others}

    def examine(self, dataset: Any, index: int, prepared: bool) -> tuple[NDArray[Any] | None, int]:
        """As `Reader.examine`: (channels, height, width) uint8; only with `prepared` are images refused that are too
        narrow to be resized."""
        p, bits = self.settings, 0
        dataset, index = whole(dataset, index)
        with one_image():
            name, encoded = dataset.name(index), dataset.encoded(index)
            if encoded is None:
                image = dataset.image(index, p.color, p.background)
            else:
                image = open_image(encoded, p.color, background=p.background, name=name)
                bits = sum(1 << REMARKS.index(each) for each in remarks(encoded))
            return (prepare(image, p, name) if prepared else None), bits

    def load(self, dataset: Any, index: int, tta: str) -> Loaded:
        p = self.settings
        dataset, index = whole(dataset, index)
        with one_image():
            image = dataset.image(index, p.color, p.background)
            return self._loaded(tta_crops(image, p, cast(TestTimeAugmentation, tta), dataset.name(index)), tta)

    def load_prepared(self, prepared: NDArray[Any], tta: str) -> Loaded | None:
        if tta not in OF_THE_CENTER:
            return None
        return self._loaded(crops_of_center(prepared, tta), tta)

    def _loaded(self, crops: list[NDArray[Any]], tta: str) -> Loaded:
        return Loaded(crops, crop_weights(cast(TestTimeAugmentation, tta), len(crops)), (False,) * len(crops))

    def normalize(self, inputs: Tensor) -> Tensor:
        return normalize(inputs, self.settings)

    def thumbnail(self, dataset: Any, index: int) -> Image.Image:
        """The upright image."""
        return upright_image(dataset, index, self.settings)

    def notes(self, remarks: Mapping[str, int], samples: int, split: str) -> tuple[str, ...]:
        return notes_on(cast(Mapping[Remark, int], remarks), samples, split, self.settings.background)
