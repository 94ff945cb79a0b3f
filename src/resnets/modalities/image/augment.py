"""How each view is done: pure functions of images and of numbers drawn beforehand.

Shapes: images_NCHW are uint8 from 0 to 255 or float from 0 to 1; `u` holds uniform numbers in [0, 1), a row a
sample, as many as `numbers_needed` says. torchvision's random classes draw from the global generator, so they
cannot serve here; its functional forms are what the tests compare with.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from resnets.core.devices import constant, float64_device, to_device
from resnets.modalities.image.augmentations import (
    Affine,
    ColorJitter,
    Crop,
    CutMix,
    Cutout,
    Flip,
    Mix,
    Mixup,
    PaddedCrop,
    PCAColor,
    RandomResizedCrop,
    ScaledCrop,
    Transform,
)
from resnets.modalities.image.preprocessing import Color, Preprocessing
from resnets.modalities.image.read.pillow import crop_at, resize, shorter_side_to

CROP_ATTEMPTS = 10
CROP_NUMBERS = 2 * CROP_ATTEMPTS + 2

Uniforms = NDArray[np.float32]


def numbers_needed(transform: Transform | Mix) -> int:
    """How many uniform numbers a sample needs for `transform`."""
    match transform:
        case PaddedCrop() | Cutout():
            return 2
        case Flip():
            return 1
        case Affine():
            return 5
        case ColorJitter():
            return 4
        case PCAColor():
            return 3
        case Mixup() | CutMix():
            return 2


# --- one image, as it is decoded ---------------------------------------------------------------------------------


def random_crop(image: Image.Image, transform: Crop, u: Uniforms, preprocessing: Preprocessing) -> Image.Image:
    """Cuts a square of `preprocessing.crop` out of `image` as `transform` says, with the filter of evaluation.

    Args:
        u: (CROP_NUMBERS,) uniform numbers: for a `RandomResizedCrop` an area and a shape for each attempt, then the
            place. As in torchvision, the first of ten boxes that fits is taken, else the largest central one of an
            allowed shape. A `ScaledCrop` needs the first for the size and the last two for the place.

    Raises:
        DataError: an image too narrow to be resized.
    """
    p = preprocessing
    if isinstance(transform, ScaledCrop):
        low, high = transform.min_size, transform.max_size
        whole = shorter_side_to(image, low + int(float(u[0]) * (high - low + 1)), p)
        return crop_at(whole, _place((whole.width - p.crop, whole.height - p.crop), u), p)
    left, top, width, height = crop_box(image.size, transform, u)
    box = image.crop((left, top, left + width, top + height))
    return resize(box, (p.crop, p.crop), p.interpolation, antialias=p.antialias)


def random_crop_of_pixels(
    pixels: Tensor, transform: RandomResizedCrop, u: Uniforms, preprocessing: Preprocessing
) -> Tensor:
    """`random_crop` for (3, height, width) uint8: the same box, resized by torch, within 2 grey levels of Pillow.

    `preprocessing` must be antialiased, and bilinear or bicubic.
    """
    p = preprocessing
    left, top, width, height = crop_box((pixels.shape[2], pixels.shape[1]), transform, u)
    box = pixels[None, :, top : top + height, left : left + width]
    if (width, height) == (p.crop, p.crop):
        return box[0]
    return F.interpolate(box, (p.crop, p.crop), mode=p.interpolation, antialias=True)[0]


def _place(room: tuple[int, int], u: Uniforms) -> tuple[int, int]:
    return int(float(u[-2]) * (room[0] + 1)), int(float(u[-1]) * (room[1] + 1))


def crop_box(size: tuple[int, int], transform: RandomResizedCrop, u: Uniforms) -> tuple[int, int, int, int]:
    """The box (left, top, width, height) that `u` picks in an image of `size` = (width, height)."""
    total_width, total_height = size
    low, high = math.log(transform.ratio[0]), math.log(transform.ratio[1])
    for attempt in range(CROP_ATTEMPTS):
        area = total_width * total_height * _between(transform.scale, float(u[2 * attempt]))
        ratio = math.exp(low + (high - low) * float(u[2 * attempt + 1]))
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= total_width and 0 < height <= total_height:
            return *_place((total_width - width, total_height - height), u), width, height
    width, height = total_width, total_height
    if total_width / total_height < transform.ratio[0]:
        height = round(total_width / transform.ratio[0])
    elif total_width / total_height > transform.ratio[1]:
        width = round(total_height * transform.ratio[1])
    width, height = max(1, min(width, total_width)), max(1, min(height, total_height))
    return (total_width - width) // 2, (total_height - height) // 2, width, height


def _between(bounds: tuple[float, float], u: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * u


# --- a batch, on the device ----------------------------------------------------------------------------------------


def apply(transform: Transform, images_NCHW: Tensor, u: Tensor, color: Color = "RGB") -> Tensor:  # noqa: N803
    """`images_NCHW` seen through `transform`, with the uniform numbers `u` of shape (N, numbers_needed(view)).

    Args:
        color: the order of the channels, which changes of colour depend on.
    """
    if color == "BGR" and isinstance(transform, ColorJitter | PCAColor):
        return apply(transform, images_NCHW.flip(1), u).flip(1)
    match transform:
        case PaddedCrop():
            return _padded_crop(images_NCHW, transform, u)
        case Flip():
            chosen = (u[:, 0] < transform.p)[:, None, None, None]
            return torch.where(chosen, images_NCHW.flip(-1), images_NCHW)
        case Affine():
            return _affine(as_float(images_NCHW), transform, u)
        case ColorJitter():
            return _color_jitter(as_float(images_NCHW), transform, u)
        case PCAColor():
            return _pca_color(as_float(images_NCHW), transform, u)
        case Cutout():
            return _cutout(images_NCHW, transform, u)


def as_float(images: Tensor) -> Tensor:
    """Values from 0 to 1 as float32, whatever they were."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def _padded_crop(images: Tensor, transform: PaddedCrop, u: Tensor) -> Tensor:
    count, _, height, width = images.shape
    padding = transform.padding
    offset = (u * (2 * padding + 1)).long()  # 0 to 2 * padding
    sample = torch.arange(count, device=images.device)[:, None, None]
    rows = offset[:, 0, None, None] + torch.arange(height, device=images.device)[None, :, None]
    columns = offset[:, 1, None, None] + torch.arange(width, device=images.device)[None, None, :]
    if transform.fill == "reflect":  # by numbers alone: not every device pads 8-bit images so
        padded = images
        rows, columns = _reflected(rows - padding, height), _reflected(columns - padding, width)
    else:
        padded = F.pad(images, (padding,) * 4)
    return padded.permute(0, 2, 3, 1)[sample, rows, columns].permute(0, 3, 1, 2)


def _reflected(positions: Tensor, length: int) -> Tensor:
    """`positions` beyond either end, to those that mirrors at the edge pixels show there."""
    return (length - 1) - ((length - 1) - positions.abs() % max(1, 2 * (length - 1))).abs()


def _affine(images: Tensor, transform: Affine, u: Tensor) -> Tensor:
    signed = 2 * u - 1
    turn = signed[:, 0] * math.radians(transform.degrees)
    shift = signed[:, 1:3] * transform.translate * 2  # grid units: the side is 2 long
    zoom = 1 / (1 + signed[:, 3] * transform.zoom)
    slant = torch.tan(signed[:, 4] * math.radians(transform.shear))
    cos, sin = torch.cos(turn) * zoom, torch.sin(turn) * zoom
    aspect = images.shape[3] / images.shape[2]
    rows = [
        torch.stack([cos, (cos * slant - sin) / aspect, shift[:, 0]], 1),
        torch.stack([sin * aspect, sin * slant + cos, shift[:, 1]], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _color_jitter(images: Tensor, transform: ColorJitter, u: Tensor) -> Tensor:
    def factors(column: int, spread: float) -> Tensor:
        if spread > 1:  # torchvision narrows the interval to [0, 1 + spread] and draws evenly within it
            return (u[:, column] * (1 + spread))[:, None, None, None]
        return (1 + (2 * u[:, column] - 1) * spread)[:, None, None, None]

    if transform.brightness:
        images = (images * factors(0, transform.brightness)).clamp(0, 1)
    if transform.contrast:
        mean = _grey(images).mean((1, 2, 3), keepdim=True)
        images = torch.lerp(mean, images, factors(1, transform.contrast)).clamp(0, 1)
    if transform.saturation and images.shape[1] == 3:
        images = torch.lerp(_grey(images).expand_as(images), images, factors(2, transform.saturation)).clamp(0, 1)
    if transform.hue and images.shape[1] == 3:
        images = _turn_hue(images, ((2 * u[:, 3] - 1) * transform.hue)[:, None, None])
    return images


# Of the colours of ImageNet's training images from 0 to 1: standard deviations along the principal components, and
# the components as columns for red, green and blue (fb.resnet.torch publishes them).
_PCA_VALUES = (0.2175, 0.0188, 0.0045)
_PCA_VECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


def _pca_color(images: Tensor, transform: PCAColor, u: Tensor) -> Tensor:
    if images.shape[1] != 3:
        return images
    exact = u.to(float64_device(u.device)).double().clamp(1e-7, 1 - 1e-7)
    normal = to_device(torch.special.ndtri(exact).float(), images.device) * transform.std
    values, vectors = (constant(each, images.device) for each in (_PCA_VALUES, _PCA_VECTORS))
    light: Tensor = (normal * values) @ vectors.T
    return images + light[:, :, None, None]


def _cutout(images: Tensor, transform: Cutout, u: Tensor) -> Tensor:
    def hidden(length: int, centre: Tensor) -> Tensor:
        start = (centre * length).long() - transform.size // 2
        place = torch.arange(length, device=images.device) - start[:, None]
        return (place >= 0) & (place < transform.size)

    rows, columns = hidden(images.shape[2], u[:, 0]), hidden(images.shape[3], u[:, 1])
    mean = images.float().mean((2, 3), keepdim=True)
    mean = mean if images.is_floating_point() else mean.round()
    return torch.where((rows[:, :, None] & columns[:, None, :])[:, None], mean.to(images.dtype), images)


def _grey(images: Tensor) -> Tensor:
    """Luma of ITU-R BT.601, (N, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    weights = constant((0.2989, 0.587, 0.114), images.device).to(images.dtype)
    return (images * weights[:, None, None]).sum(1, keepdim=True)


def _turn_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Hue plus `turn` (parts of the circle) in HSV."""
    red, green, blue = images.unbind(1)
    value, chroma = images.amax(1), images.amax(1) - images.amin(1)
    safe = torch.where(chroma == 0, torch.ones_like(chroma), chroma)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = (hue / 6 + turn) % 1.0
    # Each channel falls from `value` by `chroma` times how far its own hue is away.
    offsets = constant((5.0, 3.0, 1.0), images.device)[:, None, None]
    k = (offsets + hue[:, None] * 6) % 6
    fall = torch.minimum(k, 4 - k).clamp(0, 1)
    return value[:, None] - chroma[:, None] * fall


# --- two images of a batch ----------------------------------------------------------------------------------------


def mix(
    transform: Mix, images_NCHW: Tensor, partners: Tensor, lam: Tensor, u: Tensor  # noqa: N803
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Each image mixed with another of the batch.

    Args:
        partners: (N,) the number of the other image.
        lam: (N,) the share that each image keeps, drawn from Beta(alpha, alpha).
        u: (N, 2) where a rectangle lies.

    Returns:
        The images, and the (N,) share that each kept in truth (for CutMix, after rounding to pixels).
    """
    other = images_NCHW[partners]
    match transform:
        case Mixup():
            return torch.lerp(other, images_NCHW, lam[:, None, None, None].to(images_NCHW.dtype)), lam
        case CutMix():
            height, width = images_NCHW.shape[2:]
            side = torch.sqrt(1 - lam)
            rows, row_share = _stripe(height, side, u[:, 0])
            columns, column_share = _stripe(width, side, u[:, 1])
            inside = rows[:, None, :, None] & columns[:, None, None, :]
            return torch.where(inside, other, images_NCHW), 1 - row_share * column_share


def _stripe(length: int, side: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Positions (N, length) within `side` * length of a centre drawn by `u`, cut at the edges, and their share."""
    center, half = torch.floor(u * length), torch.floor(side * length / 2)
    position = torch.arange(length, device=u.device)
    inside = (position >= (center - half)[:, None]) & (position < (center + half)[:, None])
    return inside, inside.float().mean(1)
