"""The answers of segmentation: the mask of an image, and the share of it that each class has."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from resnets.core.console import printable
from resnets.core.errors import UsageError
from resnets.core.files import write_bytes
from resnets.tasks.restoring import image_size

OVERLAY = 0.5  # of the colour of a class in a drawn image
JPEG_QUALITY = 90


@dataclass(frozen=True)
class SegmentedImage:
    """The answer for one image.

    Args:
        mask: (H, W) uint8 numbers of classes, at the size of the image.
        shares: (classes,) the share of the pixels that each class has, a fraction of 1.
    """

    mask: NDArray[np.uint8]
    shares: NDArray[np.float64]


def answer(logits: Tensor) -> SegmentedImage:
    """The class of each pixel, that with the largest logit, of logits (classes, H, W)."""
    return of_mask(logits.argmax(0).to("cpu").numpy().astype(np.uint8), len(logits))


def of_mask(mask: NDArray[np.uint8], classes: int) -> SegmentedImage:
    """The answer with a mask (H, W) of so many classes."""
    return SegmentedImage(mask, np.bincount(mask.ravel(), minlength=classes) / mask.size)


def answer_json(answer: SegmentedImage, classes: tuple[str, ...]) -> dict[str, Any]:
    """The classes that the mask has, the one with the largest share first."""
    return {"classes": [{"name": name, "share": share} for name, share in _ranked(answer, classes)]}


def answer_extra(answer: SegmentedImage) -> dict[str, Any]:
    """The mask, packed."""
    packed = base64.b64encode(zlib.compress(answer.mask.tobytes()))
    return {"size": list(answer.mask.shape), "mask": packed.decode()}


def restored(data: Mapping[str, Any], classes: tuple[str, ...]) -> SegmentedImage:
    """The answer of which `data` has `answer_extra`."""
    height, width = image_size(data["size"])
    try:
        pixels = zlib.decompressobj().decompress(base64.b64decode(data["mask"], validate=True), height * width + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    mask = np.frombuffer(pixels, np.uint8).reshape(height, width)
    if mask.max() >= len(classes):
        raise ValueError("a class is not the model's")
    return of_mask(mask, len(classes))


def answer_lines(answer: SegmentedImage, classes: tuple[str, ...]) -> list[str]:
    """A line for each class that the mask has."""
    return [f"  {share:7.2%}  {printable(name)}" for name, share in _ranked(answer, classes)]


def write_answer(answer: SegmentedImage, folder: Path, name: str, image: Any) -> dict[str, str]:
    """Writes `NAME.png`, grey levels that are the numbers of classes, and `NAME.drawn.jpg`, the image with its classes
    in colour (`colors`).

    Args:
        image: Pillow's image, upright; None where there is none to draw on.
    """
    write_bytes(folder / f"{name}.png", _encoded(Image.fromarray(answer.mask), "PNG"))
    if image is not None:
        write_bytes(folder / f"{name}.drawn.jpg", _encoded(overlay(image, answer.mask), "JPEG"))
    return {"mask": f"{name}.png"}


def overlay(image: Image.Image, mask: NDArray[np.uint8]) -> Image.Image:
    """`image` with the colour of each pixel's class over it.

    Raises:
        UsageError: the image is not of the size of the mask.
    """
    if image.size != mask.shape[::-1]:
        raise UsageError(f"The image has {image.size[0]} x {image.size[1]} pixels, and its mask {mask.shape[::-1]}.")
    return Image.blend(image.convert("RGB"), Image.fromarray(colors()[mask]), OVERLAY)


def colors() -> NDArray[np.uint8]:
    """(256, 3) red, green and blue of each class number, as in the PASCAL VOC development kit (`VOClabelcolormap`): the
    bits of the number, three at a time, are the highest bits of the three."""
    numbers = np.arange(256)
    found = np.zeros((256, 3), np.uint8)
    for place in range(8):
        for channel in range(3):
            found[:, channel] |= ((numbers >> (3 * place + channel) & 1) << (7 - place)).astype(np.uint8)
    return found


def _ranked(answer: SegmentedImage, classes: tuple[str, ...]) -> list[tuple[str, float]]:
    order = np.argsort(-answer.shares, kind="stable")
    return [(classes[i], float(answer.shares[i])) for i in order if answer.shares[i] > 0]


def _encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, quality=JPEG_QUALITY)
    return file.getvalue()
