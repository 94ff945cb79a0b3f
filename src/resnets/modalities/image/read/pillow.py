"""From an image file to pixels, by Pillow."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from resnets.core.errors import DataError
from resnets.modalities.image.preprocessing import Background, Color
from resnets.modalities.image.read import decode_memory
from resnets.modalities.image.read.formats import FORMATS, allowed_formats
from resnets.modalities.image.read.orientation import upright
from resnets.modalities.image.read.transparency import on_background

Pixels = NDArray[np.uint8]  # (channels, height, width)
ENDINGS = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".jp2"})
_SHRINK = "Shrink it, or take it out."
MAX_PIXELS = 178_956_970  # Pillow's limit for a decompression bomb: 512 MiB as RGB

# Pillow warns of odd but readable metadata, and of sizes that are refused below. The filter is set for the process:
# `warnings.catch_warnings` swaps the process's filters, so threads that decode would leave every warning silenced.
warnings.filterwarnings("ignore", module=r"PIL\.")


def open_image(
    file: Path | bytes | Image.Image,
    color: Color = "RGB",
    *,
    background: Background | None = None,
    name: str = "",
) -> Image.Image:
    """The image, decoded, upright by its metadata (`read.orientation`), in mode "RGB" or, for color "L", "L".

    16-bit images lose their lower byte, palettes are resolved, of animations the first frame is taken. Transparency
    is dropped, as torchvision and timm do, unless `background` is given.

    Args:
        file: a path, the file's bytes, or an image of Pillow's.
        background: red, green and blue from 0 to 255, on which transparent images are composited.
        name: what to call it in messages; a path's own by default.

    Raises:
        DataError: missing, truncated, of none of `FORMATS`, larger than `MAX_PIXELS`, or one whose decoding takes more
            memory than `decode_memory.LIMIT`.
    """
    name = name or (str(file) if isinstance(file, Path) else "the image")
    with named_errors(name), decode_memory.one_image():
        image = file if isinstance(file, Image.Image) else read_header(file, name)
        kind = image.format
        if kind == "EPS":  # opened by the caller; to decode it would run it as a program
            raise UnidentifiedImageError
        if 0 in image.size:
            raise DataError(f"{name} has {image.width} x {image.height} pixels, which is no image.")
        decode_memory.reserve_for(image, name, background is not None)
        image.load()
        return _convert(upright(image), kind, "L" if color == "L" else "RGB", background, name)


def read_header(file: Path | bytes, name: str = "") -> Image.Image:
    """The image, opened by Pillow, of which only the header has been read.

    Raises:
        DataError: as `open_image`, except for what only decoding finds.
    """
    name = name or (str(file) if isinstance(file, Path) else "the image")
    with named_errors(name):
        image = Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=allowed_formats())
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise DataError(
                f"{name} has {width} x {height} pixels, more than the {MAX_PIXELS:,} that are decoded. {_SHRINK}"
            )
        if reason := _misread(image):
            raise DataError(f"{name} {reason}")
    return image


def _misread(image: Image.Image) -> str:
    """Why Pillow would read wrong pixels; empty where it reads the file's."""
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


def to_pixels(image: Image.Image, color: Color) -> Pixels:
    """(channels, height, width) uint8 in the channel order that `color` names."""
    array = np.asarray(image)
    if array.ndim == 2:
        return array[None]
    array = array.transpose(2, 0, 1)
    return np.ascontiguousarray(array[::-1] if color == "BGR" else array)
