"""Boxes and masks drawn onto images."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from resnets.core.console import printable
from resnets.core.files import write_bytes
from resnets.tasks.sections import Outline

Color = tuple[int, int, int]
MASK = 0.45  # of the colour of a mask over the image
_SHARE_OF_LINE, _SHARE_OF_TEXT = 1 / 320, 1 / 45  # of the shorter side of an image
_LINE, _TEXT = (2, 12), (11, 40)  # pixels, least and most
_GOLDEN = 0.618033988749895  # of a turn between the hues of two classes: any number of them stay apart


def write_jpeg(path: Path, image: Image.Image, quality: int) -> None:
    """Writes an image, whole or not at all.

    Raises:
        FileError: it cannot be written.
    """
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    write_bytes(path, file.getvalue())


def class_color(number: int) -> Color:
    """A bright colour for a class; those of the first classes differ most."""
    red, green, blue = colorsys.hsv_to_rgb((0.58 + number * _GOLDEN) % 1, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_outlines(image: Image.Image, outlines: Sequence[Outline]) -> Image.Image:
    """A copy of `image` in RGB with boxes, and with each one's label on a field of its colour. The first lie on top.

    Lines and letters grow with the image, within limits.
    """
    drawn = image.convert("RGB")
    shorter = min(drawn.size)
    line = round(min(max(shorter * _SHARE_OF_LINE, _LINE[0]), _LINE[1]))
    font = ImageFont.load_default(round(min(max(shorter * _SHARE_OF_TEXT, _TEXT[0]), _TEXT[1])))
    draw = ImageDraw.Draw(drawn)
    places = [_in_pixels(each, drawn.size) for each in outlines]
    for outline, place in reversed(list(zip(outlines, places, strict=True))):
        draw.rectangle(place, outline=outline.color, width=line)
    for outline, place in reversed(list(zip(outlines, places, strict=True))):  # no line crosses a label
        if outline.label:
            _write(draw, printable(outline.label), place, outline.color, font, drawn.size)
    return drawn


def draw_masks(image: Image.Image, masks: Iterable[tuple[NDArray[np.uint8], Color]]) -> Image.Image:
    """A copy of `image` in RGB with each of `masks`, (height, width) of its size, half transparent over it."""
    pixels = np.array(image.convert("RGB"))
    for mask, color in masks:
        inside = mask > 0
        pixels[inside] = ((1 - MASK) * pixels[inside] + MASK * np.array(color)).astype(np.uint8)
    return Image.fromarray(pixels)


def _in_pixels(outline: Outline, size: tuple[int, int]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (
        min(max(share, 0.0), 1.0) * (side - 1) for share, side in zip(outline.box, (*size, *size), strict=True)
    )
    return left, top, max(left, right), max(top, bottom)


def _write(
    draw: ImageDraw.ImageDraw,
    text: str,
    place: tuple[float, float, float, float],
    color: Color,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    size: tuple[int, int],
) -> None:
    """Writes `text` above the box `place`, or inside of it where there is no room, and never beyond the image."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    width, height = right - left + 4, bottom - top + 4
    x = min(max(place[0], 0), max(size[0] - width, 0))
    y = place[1] - height if place[1] >= height else min(place[1], max(size[1] - height, 0))
    draw.rectangle((x, y, x + width, y + height), fill=color)
    luminance = (0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]) / 255
    draw.text((x + 2 - left, y + 2 - top), text, "black" if luminance > 0.5 else "white", font)
