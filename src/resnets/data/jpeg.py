"""JPEG files decoded by torchvision's operator, which needs two thirds of the time that Pillow does.

Both are libjpeg-turbo and give the same pixels. What the operator would not refuse as Pillow does, or would turn out
otherwise, is left to Pillow: truncated files, CMYK, pictures that are too large. The operator is loaded by itself:
importing torchvision takes seconds.
"""

from __future__ import annotations

import importlib.util
import struct
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from resnets.data.pictures import MAX_PIXELS

_RGB = 3  # torchvision.io.ImageReadMode.RGB


def decode(data: bytes) -> Tensor | None:
    """(3, height, width) uint8, upright by its EXIF orientation; None where Pillow has to look at it.

    Args:
        data: of a picture file of any format.
    """
    if not (data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9") and _operator_is_here()):
        return None
    try:
        if _pixels(data) > MAX_PIXELS:
            return None
        pixels: Tensor = torch.ops.image.decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), _RGB, True)
    except Exception:  # Pillow says better what is wrong
        return None
    return pixels


def _pixels(data: bytes) -> int:
    """Width times height, read from the frame's header (ISO 10918-1, annex B) in a tenth of the time that Pillow takes.

    Raises:
        ValueError: it is not one of 8 bits that is grey or of three colours, or there is none.
    """
    place = 2
    while data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width, colors = struct.unpack_from(">BHHB", data, place + 4)
            if bits == 8 and colors in (1, 3):
                return int(height * width)
            break
        place += 2 + length
    raise ValueError("no such header")


@cache
def _operator_is_here() -> bool:
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return False
    for name in ("image.so", "image.pyd"):
        path = Path(found.origin).parent / name
        if path.exists():
            try:
                torch.ops.load_library(path)  # type: ignore[no-untyped-call]
            except OSError:  # of another torch
                return False
            return hasattr(torch.ops.image, "decode_jpeg")
    return False
