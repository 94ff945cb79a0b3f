"""Images as they come out of a worse camera: corruptions of five severities (Hendrycks and Dietterich 2019,
1903.12261).

Of the corruptions of ImageNet-C those that need no further images, with its parameters at 224 px; what has a size in
pixels is in proportion to the shorter side. They are made on what the network is fed, as there.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.core import rng

SEVERITIES = (1, 2, 3, 4, 5)
SIDE = 224  # pixels, for which sizes are meant
Pixels = NDArray[np.float64]  # (height, width, channels) from 0 to 1


def gaussian_noise(x: Pixels, severity: int, random: np.random.Generator) -> Pixels:
    return x + random.normal(size=x.shape, scale=(0.08, 0.12, 0.18, 0.26, 0.38)[severity - 1])


def shot_noise(x: Pixels, severity: int, random: np.random.Generator) -> Pixels:
    photons = (60, 25, 12, 5, 3)[severity - 1]
    found: Pixels = random.poisson(x * photons) / photons
    return found


def impulse_noise(x: Pixels, severity: int, random: np.random.Generator) -> Pixels:
    """A share of the values is replaced by black and white, half each."""
    share = (0.03, 0.06, 0.09, 0.17, 0.27)[severity - 1]
    drawn = random.random(x.shape)
    found: Pixels = np.where(drawn < share / 2, 0.0, np.where(drawn < share, 1.0, x))
    return found


def gaussian_blur(x: Pixels, severity: int, random: np.random.Generator) -> Pixels:
    from scipy.ndimage import gaussian_filter

    sigma = (1, 2, 3, 4, 6)[severity - 1] * min(x.shape[:2]) / SIDE
    found: Pixels = gaussian_filter(x, (sigma, sigma, 0))
    return found


def brightness(x: Pixels, severity: int, random: np.random.Generator) -> Pixels:
    """Adds to the value of each pixel, the highest of its channels; hue and saturation stay."""
    value: Pixels = x.max(2, keepdims=True)
    brighter = np.minimum(value + (0.1, 0.2, 0.3, 0.4, 0.5)[severity - 1], 1)
    found: Pixels = np.where(value > 0, x * brighter / np.where(value > 0, value, 1), brighter)
    return found


def contrast(x: Pixels, severity: int, random: np.random.Generator) -> Pixels:
    mean: Pixels = x.mean((0, 1), keepdims=True)
    found: Pixels = (x - mean) * (0.4, 0.3, 0.2, 0.1, 0.05)[severity - 1] + mean
    return found


def pixelate(x: Pixels, severity: int, random: np.random.Generator) -> Pixels:
    image, share = _image(x), (0.6, 0.5, 0.4, 0.3, 0.25)[severity - 1]
    small = image.resize([max(1, int(side * share)) for side in image.size], Image.Resampling.BOX)
    return _pixels(small.resize(image.size, Image.Resampling.NEAREST))


def jpeg_compression(x: Pixels, severity: int, random: np.random.Generator) -> Pixels:
    file = io.BytesIO()
    _image(x).save(file, "JPEG", quality=(25, 18, 15, 10, 7)[severity - 1])
    return _pixels(Image.open(file))


CORRUPTIONS: dict[str, Callable[[Pixels, int, np.random.Generator], Pixels]] = {
    each.__name__: each
    for each in (
        gaussian_noise, shot_noise, impulse_noise, gaussian_blur, brightness, contrast, pixelate, jpeg_compression,
    )
}  # fmt: skip


def corrupted(pixels: NDArray[np.uint8], name: str, severity: int, number: int) -> NDArray[np.uint8]:
    """An image with a corruption, (channels, height, width) uint8, as it is given.

    Args:
        name: one of `CORRUPTIONS`.
        severity: from 1 to 5.
        number: of the image, by which its noise is drawn: the same in every run.
    """
    random = rng.generator(severity, f"corruption {name}", number)
    found = CORRUPTIONS[name](pixels.transpose(1, 2, 0) / 255.0, severity, random)
    return np.ascontiguousarray((found.clip(0, 1) * 255).round().astype(np.uint8).transpose(2, 0, 1))


def _image(x: Pixels) -> Image.Image:
    levels = (x * 255).round().astype(np.uint8)
    return Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels)


def _pixels(image: Image.Image) -> Pixels:
    levels = np.asarray(image, np.float64) / 255
    return levels[..., None] if levels.ndim == 2 else levels
