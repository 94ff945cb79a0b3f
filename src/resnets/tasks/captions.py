"""Images with an answer written below them, as `predict --out FOLDER` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from resnets.tasks.drawing import write_jpeg

LARGEST, SMALLEST = 1024, 224  # pixels of the longer side: larger images are reduced, smaller ones enlarged
FONT, LINE = 16, 20  # pixels


def write_captioned(path: Path, image: Image.Image, lines: Sequence[str]) -> None:
    """Writes a JPEG of `image` with a line of text below it for each of `lines`.

    Raises:
        FileError: it cannot be written.
    """
    shown, longer = image.convert("RGB"), max(image.size)
    size = min(max(longer, SMALLEST), LARGEST)
    if size != longer:
        sides = (max(1, round(side * size / longer)) for side in image.size)
        how = Image.Resampling.NEAREST if size > longer else Image.Resampling.BILINEAR
        shown = shown.resize((next(sides), next(sides)), how)
    page = Image.new("RGB", (max(shown.width, SMALLEST), shown.height + LINE * len(lines) + LINE // 2), "white")
    page.paste(shown)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(FONT)
    for number, line in enumerate(lines):
        draw.text((4, shown.height + LINE // 4 + LINE * number), line.strip(), "black", font)
    write_jpeg(path, page, quality=90)
