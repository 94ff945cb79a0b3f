"""Resizing and cropping as evaluation does it, without randomness."""

from __future__ import annotations

from typing import Any

from PIL import Image

from resnets.core.errors import DataError
from resnets.modalities.image.geometry import center, covering, inside
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
    """The whole image with its shorter side resized to `side`; where the input is a rectangle, resized until it just
    covers one of that shape whose shorter side is `side`.

    Raises:
        DataError: an image so narrow that resizing it would take more than `MAX_PIXELS`; it is called `name`.
    """
    width, height = image.size
    size = covering(image.size, preprocessing.shape(side))
    if size[0] * size[1] > MAX_PIXELS:
        raise DataError(
            f"{name} of {width} x {height} pixels is too narrow: resized, it would be {size[0]} x {size[1]}. "
            "Crop it, or take it out."
        )
    return resize(image, size, preprocessing.interpolation, antialias=preprocessing.antialias)


def crop_at(image: Image.Image, corner: tuple[int, int], preprocessing: Preprocessing) -> Image.Image:
    """The crop of the input's size whose left upper corner is `corner` = (left, top)."""
    (left, top), (height, width) = corner, preprocessing.shape()
    if (left, top) == (0, 0) and image.size == (width, height):
        return image
    return image.crop((left, top, left + width, top + height))


def center_crop(image: Image.Image, preprocessing: Preprocessing, name: str = "the image") -> Image.Image:
    """The shorter side resized to `preprocessing.resize`, then the crop of the input's size at the centre.

    Raises:
        DataError: see `shorter_side_to`.
    """
    p = preprocessing
    whole = shorter_side_to(image, p.resize, p, name)
    return crop_at(whole, center(whole.size, p.shape()), p)


def letterbox(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """The whole image, as large as fits into the input's size, at the centre of a canvas of `preprocessing.fill`; the
    same pixels as Pillow's `ImageOps.pad`."""
    p = preprocessing
    height, width = p.shape()
    size = inside(image.size, p.shape())
    whole = resize(image, size, p.interpolation, antialias=p.antialias)
    if size == (width, height):
        return whole
    canvas = Image.new("RGB", (width, height), p.fill).convert(image.mode)
    canvas.paste(whole, center((width, height), (size[1], size[0])))
    return canvas


def fitted(image: Image.Image, preprocessing: Preprocessing, name: str = "the image") -> Image.Image:
    """`image` as `preprocessing.fit` brings it to the size of the input.

    Raises:
        DataError: see `shorter_side_to`.
    """
    p = preprocessing
    if p.fit == "crop":
        return center_crop(image, p, name)
    if p.fit == "letterbox":
        return letterbox(image, p)
    height, width = p.shape()
    return resize(image, (width, height), p.interpolation, antialias=p.antialias)


def prepare(image: Image.Image, preprocessing: Preprocessing, name: str = "the image") -> Pixels:
    """What a network is fed for `image`, before normalisation: (channels, height, width) uint8."""
    return to_pixels(fitted(image, preprocessing, name), preprocessing.color)
