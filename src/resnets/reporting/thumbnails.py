"""The images of a page's galleries, as data URLs: small, or larger with boxes."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from resnets.core.errors import DataError
from resnets.modalities.base import Dataset
from resnets.modalities.reader import Reader
from resnets.tasks.drawing import draw_outlines
from resnets.tasks.sections import GalleryItem, Outline, Part

SMALL = 96  # pixels; larger images are reduced to twice that, for dense displays
LARGE = 640  # pixels of the longer side of an image with boxes
LEAST = 400  # pixels to which a smaller part of an image is enlarged, so that lines on it are thin


@dataclass(frozen=True)
class Thumbnail:
    """A `data:` URL, "" where the image cannot be read; `enlarged` where the page shows it larger than it is."""

    url: str
    enlarged: bool = False


def thumbnail(dataset: Dataset, reader: Reader, item: GalleryItem) -> Thumbnail:
    """The image of a gallery's item."""
    try:
        image = reader.thumbnail(dataset, item.sample)
    except DataError:
        image = None
    if image is None:
        return Thumbnail("")
    if item.outlines is not None:
        return Thumbnail(_url(_with_outlines(image, item.outlines, item.part), "JPEG"))
    small = max(image.size) <= SMALL
    if not small:
        image.thumbnail((2 * SMALL, 2 * SMALL), Image.Resampling.BILINEAR)
    if item.overlay is not None:
        colors = Image.fromarray(item.overlay).resize(image.size, Image.Resampling.NEAREST)
        image = Image.blend(image.convert("RGB"), colors, 0.5)
    return Thumbnail(_url(image, "PNG" if small else "JPEG"), small)


def _with_outlines(image: Image.Image, outlines: Sequence[Outline], part: Part) -> Image.Image:
    """A part of an image, with the boxes on it."""
    left, top, right, bottom = (
        round(share * side) for share, side in zip(part, (*image.size, *image.size), strict=True)
    )
    shown = image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
    longer = max(shown.size)
    scale = min(max(longer, LEAST), LARGE) / longer
    if scale != 1:
        shown = shown.resize([max(1, round(side * scale)) for side in shown.size], Image.Resampling.BILINEAR)
    return draw_outlines(shown, [replace(each, box=box) for each in outlines if (box := _within(each.box, part))])


def _within(box: Part, part: Part) -> Part | None:
    """A box as shares of a part of the image; None where none of it is there."""
    left, top, right, bottom = part
    width, height = max(right - left, 1e-9), max(bottom - top, 1e-9)
    own = (box[0] - left) / width, (box[1] - top) / height, (box[2] - left) / width, (box[3] - top) / height
    return own if own[0] < 1 and own[1] < 1 and own[2] > 0 and own[3] > 0 else None


def _url(image: Image.Image, kind: str) -> str:
    file = io.BytesIO()
    image.save(file, kind, quality=85)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
