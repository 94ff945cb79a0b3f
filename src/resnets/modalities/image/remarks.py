"""Readable images that are probably not what the user meant to train on; the data's notes count them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from resnets.modalities.image.preprocessing import Background
from resnets.modalities.image.read import decode_memory
from resnets.modalities.image.read.pillow import named_errors, read_header
from resnets.modalities.image.read.transparency import is_transparent, may_be_transparent

# "transparent": a pixel is, wholly or in part. "dark": 16 bits of which the upper four are never used, as cameras and
# scanners of 12 bits save theirs: without the lower byte it is nearly black.
Remark = Literal["transparent", "dark"]
REMARKS: tuple[Remark, ...] = get_args(Remark)  # each of which has a bit in the scan's table


def remarks(encoded: bytes) -> tuple[Remark, ...]:
    """The remarks that hold for the image in the file `encoded`. Of images of 8 bits without alpha, the header is read.

    Raises:
        DataError: see `read.pillow.open_image`.
    """
    image = read_header(encoded)
    deep = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")
    if not deep and not may_be_transparent(image):
        return ()
    with named_errors("the image"), decode_memory.one_image():
        decode_memory.reserve_for(image, "the image")
        image.load()
        if deep:
            levels: tuple[int, int] = image.getextrema()  # type: ignore[assignment]
            return ("dark",) if levels[1] < 2**12 else ()
        return ("transparent",) if is_transparent(image) else ()


def notes_on(counts: Mapping[Remark, int], images: int, split: str, background: Background | None) -> tuple[str, ...]:
    """A line for each remark.

    Args:
        counts: images by remark.
        images: their total number.
        split: name of their split.
    """
    notes = []
    if count := counts.get("transparent", 0):
        treated = (
            f"they are composited on the colour {list(background)}."
            if background is not None
            else "that is dropped, as torchvision and timm do. Composite them on a colour with "
            "preprocessing.background=[255,255,255]."
        )
        notes.append(f"{count} of {images} {split} images are transparent, at least in part: {treated}")
    if count := counts.get("dark", 0):
        notes.append(
            f"{count} of {images} {split} images have 16 bits and use 12 of them or less: their upper byte is read, so "
            "that they are nearly black. Scale them to the full range."
        )
    return tuple(notes)
