"""Masks as they are stored: an image file whose values are numbers of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError
from resnets.modalities.image.read import decode_memory
from resnets.modalities.image.read.pillow import named_errors, read_header

VOID = 255  # the class number of pixels that count for nothing, once values are numbered as classes
MASK_ENDINGS = frozenset({".png", ".bmp", ".tif", ".tiff"})
# What Pillow multiplies grey levels of fewer than 8 bits by, by the name of its raw mode.
_SPREAD = {"L;2": 85, "L;2I": 85, "L;4": 17, "L;4I": 17}
_ADVICE = "Save it as a PNG of one channel of 8 bits, or with a palette, whose values are numbers of classes."


def read_mask(path: Path) -> NDArray[np.uint8]:
    """(H, W) uint8: the values of the file, which of a palette are its indices, not its colours.

    Metadata does not turn a mask: it is stored upright.

    Raises:
        DataError: missing, damaged, in colour, of more than 8 bits, or of a format that does not keep values.
    """
    name = str(path)
    with named_errors(name), decode_memory.one_image():
        image = read_header(path, name)
        if image.format not in ("PNG", "BMP", "TIFF"):
            raise DataError(f"{name} is a mask as {image.format}, which may not keep its values. {_ADVICE}")
        if image.mode.startswith("I") or image.mode == "F":
            raise DataError(f"{name} is a mask of more than 8 bits. {_ADVICE}")
        if image.mode not in ("P", "L", "1"):
            raise DataError(f"{name} is in colour ({image.mode}) and no mask of class numbers. {_ADVICE}")
        raw = next((tile.args for tile in getattr(image, "tile", ())), "")
        spread = _SPREAD.get(raw if isinstance(raw, str) else raw[0], 1)
        decode_memory.reserve_for(image, name)
        image.load()
        return np.array(image, np.uint8) // np.uint8(spread)


def mask_size(path: Path) -> tuple[int, int]:
    """Height and width of a mask, from its header.

    Raises:
        DataError: the file is missing, or no image.
    """
    header = read_header(path, str(path))
    return header.height, header.width
