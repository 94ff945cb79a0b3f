"""Resizing and cropping as evaluation does it, without randomness."""

from __future__ import annotations

from typing import Any

from PIL import Image

from resnets.core.errors import DataError
from resnets.modalities.image.preprocessing import Interpolation, Preprocessing
from resnets.modalities.image.read.pillow import MAX_PIXELS, Pixels, to_pixels

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def resize(image: Image.Image, size: tuple[int, int], how: Interpolation, *, antialias: bool = True) -> Image.Image:
    """`image` resized to `size` = (width, height)."""
    if image.size == size:
        return image
    if antialias:
        return image.resize(size, _FILTERS[how])
    # Pillow widens the filter whenever it shrinks; torch is asked for the rare model trained without that.
    import torch
    import torch.nn.functional as F

    pixels = torch.tensor(to_pixels(image, "L" if image.mode == "L" else "RGB"))[None].float()
    options: dict[str, Any] = {} if how == "nearest" else {"align_corners": False, "antialias": False}
    resized = F.interpolate(pixels, (size[1], size[0]), mode=how, **options)[0].round().clamp(0, 255).byte()
    return Image.fromarray(resized.permute(1, 2, 0).squeeze(-1).numpy())


def shorter_side_to(
    image: Image.Image, side: int, preprocessing: Preprocessing, name: str = "the image"
) -> Image.Image:
    """The whole image with its shorter side resized to `side`.

    Raises:
        DataError: an image so narrow that resizing it would take more than `MAX_PIXELS`; it is called `name`.
    """
    width, height = image.size
    # As torchvision's Resize: the longer side is rounded down.
    if width <= height:
        size = (side, max(side, int(side * height / width)))
    else:
        size = (max(side, int(side * width / height)), side)
    if size[0] * size[1] > MAX_PIXELS:
        raise DataError(
            f"{name} of {width} x {height} pixels is too narrow: resized, it would be {size[0]} x {size[1]}. "
            "Crop it, or take it out."
        )
    return resize(image, size, preprocessing.interpolation, antialias=preprocessing.antialias)


def crop_at(image: Image.Image, corner: tuple[int, int], preprocessing: Preprocessing) -> Image.Image:
    """The square of `preprocessing.crop` whose left upper corner is `corner` = (left, top)."""
    left, top = corner
    if (left, top) == (0, 0) and image.size == (preprocessing.crop, preprocessing.crop):
        return image
    return image.crop((left, top, left + preprocessing.crop, top + preprocessing.crop))


def center_crop(image: Image.Image, preprocessing: Preprocessing, name: str = "the image") -> Image.Image:
    """The shorter side resized to `preprocessing.resize`, then the central square of `preprocessing.crop`.

    Raises:
        DataError: see `shorter_side_to`.
    """
    p = preprocessing
    whole = shorter_side_to(image, p.resize, p, name)
    # As torchvision's CenterCrop: the corner is rounded to the nearest even.
    return crop_at(whole, (round((whole.width - p.crop) / 2.0), round((whole.height - p.crop) / 2.0)), p)


def prepare(image: Image.Image, preprocessing: Preprocessing, name: str = "the image") -> Pixels:
    """What a network is fed for `image`, before normalisation: (channels, crop, crop) uint8."""
    return to_pixels(center_crop(image, preprocessing, name), preprocessing.color)
