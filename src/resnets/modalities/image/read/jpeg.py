"""JPEG files decoded by torchvision's operator, which gives pixels in the layout that torch crops and resizes.

The operator and Pillow both use libjpeg-turbo and give the same pixels, so Pillow decodes where torchvision has no
operator. Files that the operator would accept or decode differently from Pillow are left to the caller: truncated ones,
CMYK, images that are too large. The operator is loaded without importing torchvision, which takes seconds.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from resnets.modalities.image.read import decode_memory
from resnets.modalities.image.read.jpeg_header import read_header
from resnets.modalities.image.read.pillow import MAX_PIXELS, open_image

Decoder = Literal["torchvision", "Pillow"]
_RGB = 3  # torchvision.io.ImageReadMode.RGB


def decode(data: bytes) -> Tensor | None:
    """(3, height, width) uint8, upright by its metadata; None where `data` is left to the caller.

    Args:
        data: bytes of an image file of any format.
    """
    if not (data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9")):
        return None
    try:
        header = read_header(data)
        pixels = header.width * header.height
        if header.bits != 8 or header.components not in (1, 3) or not header.clean or not 0 < pixels <= MAX_PIXELS:
            return None
        if not _has_operator():
            return torch.from_numpy(np.array(open_image(data))).permute(2, 0, 1)
        if pixels > decode_memory.SMALL:
            decode_memory.reserve(decode_memory.needed_for_jpeg(header), "the image")
        encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        return _upright(torch.ops.image.decode_jpeg(encoded, _RGB), header.orientation)
    except Exception:  # Pillow's message is better
        return None


def decoder() -> Decoder:
    """The decoder of JPEG files on this machine."""
    return "torchvision" if _has_operator() else "Pillow"


def _upright(pixels: Tensor, orientation: int) -> Tensor:
    """`pixels` turned and flipped as EXIF's `orientation` says; the operator would apply only some orientations."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 2)
    flipped = [axis for axis, numbers in ((1, (3, 4, 7, 8)), (2, (2, 3, 6, 7))) if orientation in numbers]
    return pixels.flip(flipped) if flipped else pixels


@cache
def _has_operator() -> bool:
    """Whether torch has torchvision's operator; loads it where it is not loaded."""
    if "torchvision" not in sys.modules:
        found = importlib.util.find_spec("torchvision")
        if found is None or found.origin is None:
            return False
        # image.so up to torchvision 0.28, image_stable.so since, image.pyd on Windows.
        for path in sorted(Path(found.origin).parent.glob("image*")):
            if path.suffix in (".so", ".pyd", ".dylib"):
                try:
                    torch.ops.load_library(path)  # type: ignore[no-untyped-call]
                except OSError:  # of another torch
                    continue
    return hasattr(torch.ops.image, "decode_jpeg")
