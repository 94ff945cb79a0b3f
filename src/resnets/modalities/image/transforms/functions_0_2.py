"""The functions of version 0.2's `data.augment`, for one version; `resnets.core.old_modules` finds them here.

They are methods of the augmentations now. To be deleted in the version after.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from resnets.modalities.image.preprocessing import Color, Preprocessing
from resnets.modalities.image.transforms.augmentations import Crop, Mix, Transform
from resnets.modalities.image.transforms.random_resized_crop import RandomResizedCrop

CROP_ATTEMPTS = 10
CROP_NUMBERS = RandomResizedCrop.numbers
Uniforms = NDArray[np.float32]


def numbers_needed(transform: Transform | Mix) -> int:
    """`transform.numbers`."""
    return transform.numbers


def random_crop(image: Image.Image, transform: Crop, u: Uniforms, preprocessing: Preprocessing) -> Image.Image:
    """`transform(image, u, preprocessing)`."""
    return transform(image, u, preprocessing)


def random_crop_of_pixels(
    pixels: Tensor, transform: RandomResizedCrop, u: Uniforms, preprocessing: Preprocessing
) -> Tensor:
    """`transform.crop_pixels(pixels, u, preprocessing)`."""
    return transform.crop_pixels(pixels, u, preprocessing)


def crop_box(size: tuple[int, int], transform: RandomResizedCrop, u: Uniforms) -> tuple[int, int, int, int]:
    """`transform.box(size, u)`."""
    return transform.box(size, u)


def apply(transform: Transform, images_NCHW: Tensor, u: Tensor, color: Color = "RGB") -> Tensor:  # noqa: N803
    """`transform(images_NCHW, u, color)`."""
    return transform(images_NCHW, u, color)


def mix(
    transform: Mix, images_NCHW: Tensor, partners: Tensor, lam: Tensor, u: Tensor  # noqa: N803
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """`transform(images_NCHW, partners, lam, u)`."""
    return transform(images_NCHW, partners, lam, u)
