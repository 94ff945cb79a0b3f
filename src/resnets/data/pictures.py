"""From a picture file to pixels, and from pixels to a network's input."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from resnets.errors import DataError
from resnets.preprocessing import Color, Interpolation, Preprocessing

Pixels = NDArray[np.uint8]  # (channels, height, width)
ENDINGS = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".jp2"})
_SHRINK = "Shrink it, or take it out."
MAX_PIXELS = 178_956_970  # what Pillow holds for a decompression bomb: 512 MiB as RGB

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}

# Pillow warns of odd but readable metadata, and of sizes that are refused below. Said once for the whole process:
# `warnings.catch_warnings` swaps the process's filters, so threads that decode would leave every warning silenced.
warnings.filterwarnings("ignore", module=r"PIL\.")


def open_picture(source: Path | bytes | Image.Image, color: Color = "RGB", *, name: str = "") -> Image.Image:
    """The picture, decoded, upright by its EXIF orientation, in mode "RGB" or, for color "L", "L".

    16-bit pictures lose their lower byte, palettes are resolved, transparency is dropped, of animations the first
    frame is taken.

    Args:
        source: a file, its bytes, or a picture of Pillow's.
        name: what to call it in messages; a path's own by default.

    Raises:
        DataError: missing, truncated, of an unknown format, or larger than `MAX_PIXELS`.
    """
    name = name or (str(source) if isinstance(source, Path) else "the picture")
    try:
        picture = source
        if not isinstance(picture, Image.Image):
            picture = Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture)
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise DataError(
                f"{name} has {width} x {height} pixels, more than the {MAX_PIXELS:,} that are decoded. {_SHRINK}"
            )
        return _convert(ImageOps.exif_transpose(picture), "L" if color == "L" else "RGB", name)
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(f"{name} has more than the {MAX_PIXELS:,} pixels that are decoded. {_SHRINK}") from None
    except FileNotFoundError:
        raise DataError(f"There is no picture at {name}.") from None
    except IsADirectoryError:
        raise DataError(f"{name} is a folder, not a picture: name its pictures, such as {name}/*.jpg.") from None
    except UnidentifiedImageError:
        raise DataError(f"{name} is not a picture that can be read: damaged, or of an unknown format.") from None
    except PermissionError:
        raise DataError(f"{name} may not be read: change its permissions, or take it out.") from None
    except Exception as error:  # decoders of damaged files raise nearly anything (OSError, SyntaxError, struct.error)
        raise DataError(f"{name} is damaged: {error}. Replace it, or take it out.") from error


def _convert(picture: Image.Image, mode: str, name: str) -> Image.Image:
    picture.load()
    if picture.mode.startswith("I;16"):
        levels = np.asarray(picture, dtype=np.uint16) >> 8
        picture = Image.fromarray(levels.astype(np.uint8))
    elif picture.mode == "I" and picture.format == "PPM":  # Pillow scales deeper grey maps to 16 bits
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    elif picture.mode in ("I", "F"):
        raise DataError(f"{name} has 32-bit pixels, whose range is unknown: save it with 8 or 16 bits.")
    return picture if picture.mode == mode else picture.convert(mode)


def resize(picture: Image.Image, size: tuple[int, int], how: Interpolation, *, antialias: bool = True) -> Image.Image:
    """`picture` resized to `size` = (width, height)."""
    if picture.size == size:
        return picture
    if antialias:
        return picture.resize(size, _FILTERS[how])
    # Pillow widens the filter whenever it shrinks; torch is asked for the rare model trained without that.
    import torch
    import torch.nn.functional as F

    pixels = torch.tensor(to_pixels(picture, "L" if picture.mode == "L" else "RGB"))[None].float()
    options: dict[str, Any] = {} if how == "nearest" else {"align_corners": False, "antialias": False}
    resized = F.interpolate(pixels, (size[1], size[0]), mode=how, **options)[0].round().clamp(0, 255).byte()
    return Image.fromarray(resized.permute(1, 2, 0).squeeze(-1).numpy())


def shorter_side_to(
    picture: Image.Image, side: int, preprocessing: Preprocessing, name: str = "the picture"
) -> Image.Image:
    """The whole picture with its shorter side resized to `side`.

    Raises:
        DataError: a picture so narrow that resizing it would take more than `MAX_PIXELS`; it is called `name`.
    """
    width, height = picture.size
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
    return resize(picture, size, preprocessing.interpolation, antialias=preprocessing.antialias)


def crop_at(picture: Image.Image, corner: tuple[int, int], preprocessing: Preprocessing) -> Image.Image:
    """The square of `preprocessing.crop` whose left upper corner is `corner` = (left, top)."""
    left, top = corner
    if (left, top) == (0, 0) and picture.size == (preprocessing.crop, preprocessing.crop):
        return picture
    return picture.crop((left, top, left + preprocessing.crop, top + preprocessing.crop))


def center_crop(picture: Image.Image, preprocessing: Preprocessing, name: str = "the picture") -> Image.Image:
    """The shorter side resized to `preprocessing.resize`, then the central square of `preprocessing.crop`.

    Raises:
        DataError: see `shorter_side_to`.
    """
    p = preprocessing
    whole = shorter_side_to(picture, p.resize, p, name)
    # As torchvision's CenterCrop: the corner is rounded to the nearest even.
    return crop_at(whole, (round((whole.width - p.crop) / 2.0), round((whole.height - p.crop) / 2.0)), p)


def to_pixels(picture: Image.Image, color: Color) -> Pixels:
    """(channels, height, width) uint8 in the channel order that `color` names."""
    array = np.asarray(picture)
    if array.ndim == 2:
        return array[None]
    array = array.transpose(2, 0, 1)
    return np.ascontiguousarray(array[::-1] if color == "BGR" else array)


def prepare(picture: Image.Image, preprocessing: Preprocessing, name: str = "the picture") -> Pixels:
    """What a network is fed for `picture`, before normalisation: (channels, crop, crop) uint8."""
    return to_pixels(center_crop(picture, preprocessing, name), preprocessing.color)
