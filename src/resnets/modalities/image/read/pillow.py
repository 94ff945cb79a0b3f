"""From an image file to pixels, and from pixels to a network's input."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from resnets.core.errors import DataError
from resnets.modalities.image.preprocessing import Background, Color, Interpolation, Preprocessing
from resnets.modalities.image.read import decode_memory
from resnets.modalities.image.read.formats import FORMATS, allowed_formats
from resnets.modalities.image.read.orientation import upright
from resnets.modalities.image.read.transparency import on_background

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


def open_image(
    source: Path | bytes | Image.Image,
    color: Color = "RGB",
    *,
    background: Background | None = None,
    name: str = "",
) -> Image.Image:
    """The image, decoded, upright by its metadata (`data.orientation`), in mode "RGB" or, for color "L", "L".

    16-bit images lose their lower byte, palettes are resolved, of animations the first frame is taken. Transparency
    is dropped, as torchvision and timm do, unless `background` is given.

    Args:
        source: a file, its bytes, or an image of Pillow's.
        background: red, green and blue from 0 to 255, on which an image that is transparent in part is put.
        name: what to call it in messages; a path's own by default.

    Raises:
        DataError: missing, truncated, of none of `FORMATS`, larger than `MAX_PIXELS`, or one whose decoding takes more
            memory than `decode_memory.LIMIT`.
    """
    name = name or (str(source) if isinstance(source, Path) else "the image")
    with named_errors(name), decode_memory.one_image():
        image = source if isinstance(source, Image.Image) else read_header(source, name)
        kind = image.format
        if kind == "EPS":  # opened by the caller; to decode it would run it as a program
            raise UnidentifiedImageError
        decode_memory.reserve_for(image, name, background is not None)
        image.load()
        return _convert(upright(image), kind, "L" if color == "L" else "RGB", background, name)


def read_header(source: Path | bytes, name: str = "") -> Image.Image:
    """The image of Pillow's, of which only the header is read.

    Raises:
        DataError: as `open_image`, but for what only decoding shows.
    """
    name = name or (str(source) if isinstance(source, Path) else "the image")
    with named_errors(name):
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=allowed_formats())
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise DataError(
                f"{name} has {width} x {height} pixels, more than the {MAX_PIXELS:,} that are decoded. {_SHRINK}"
            )
        if reason := _misread(image):
            raise DataError(f"{name} {reason}")
    return image


def _misread(image: Image.Image) -> str:
    """Why Pillow reads other pixels than those in the file; empty where it does not."""
    if image.format != "TIFF":
        return ""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(258, (1,))
    if tags.get(284) == 2 and isinstance(bits, tuple) and len(bits) > 1 and max(bits) > 8:
        return f"has planes of {max(bits)} bits, which are not read: save it with 8 bits, or with interleaved channels."
    return ""


@contextlib.contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Context manager that turns whatever decoding raises into a DataError with `name` in it."""
    try:
        yield
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(f"{name} has more than the {MAX_PIXELS:,} pixels that are decoded. {_SHRINK}") from None
    except FileNotFoundError:
        raise DataError(f"There is no image at {name}.") from None
    except IsADirectoryError:
        raise DataError(f"{name} is a folder, not an image: name its images, such as {name}/*.jpg.") from None
    except UnidentifiedImageError:
        raise DataError(
            f"{name} is not an image that can be read: damaged, or of an unknown format (not {', '.join(FORMATS)})."
        ) from None
    except PermissionError:
        raise DataError(f"{name} may not be read: change its permissions, or take it out.") from None
    except Exception as error:  # decoders of damaged files raise nearly anything (OSError, SyntaxError, struct.error)
        raise DataError(f"{name} is damaged: {error}. Replace it, or take it out.") from error


def _convert(image: Image.Image, kind: str | None, mode: str, background: Background | None, name: str) -> Image.Image:
    if background is not None:
        image = on_background(image, background)
    if image.mode.startswith("I;16"):
        levels = np.asarray(image, dtype=np.uint16) >> 8
        image = Image.fromarray(levels.astype(np.uint8))
    elif image.mode == "I" and kind == "PPM":  # Pillow scales deeper grey maps to 16 bits
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise DataError(f"{name} has 32-bit pixels, whose range is unknown: save it with 8 or 16 bits.")
    return image if image.mode == mode else image.convert(mode)


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


def to_pixels(image: Image.Image, color: Color) -> Pixels:
    """(channels, height, width) uint8 in the channel order that `color` names."""
    array = np.asarray(image)
    if array.ndim == 2:
        return array[None]
    array = array.transpose(2, 0, 1)
    return np.ascontiguousarray(array[::-1] if color == "BGR" else array)


def prepare(image: Image.Image, preprocessing: Preprocessing, name: str = "the image") -> Pixels:
    """What a network is fed for `image`, before normalisation: (channels, crop, crop) uint8."""
    return to_pixels(center_crop(image, preprocessing, name), preprocessing.color)
