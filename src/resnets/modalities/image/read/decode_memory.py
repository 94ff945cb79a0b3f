"""Bounds the memory that threads take to decode images, estimated from the images' headers.

A file of 2 kB can stand for 178 megapixels, and a codec can take five times what the pixels take: seven threads that
decode such files at once would take 25 GiB. So the threads of a process share `LIMIT` bytes; an image waits until its
part is free, later ones wait behind it, and one that needs more is refused before it is decoded. Images of up to
`SMALL` pixels pass without a lock.
"""

from __future__ import annotations

import contextlib
import struct
import threading
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image

from resnets.core.errors import DataError
from resnets.core.units import show_bytes
from resnets.modalities.image.read.jpeg_header import JpegHeader, read_header
from resnets.modalities.image.read.orientation import is_turned

LIMIT = 2**30  # bytes
SMALL = 2**20  # pixels, of at most some 24 bytes each

_free_again = threading.Condition()
_turn = threading.Lock()  # held while an image waits
_reserved = 0  # bytes, of all threads


class _Thread(threading.local):
    depth = 0
    reserved = 0


_thread = _Thread()


class _OneImage:
    def __enter__(self) -> None:
        _thread.depth += 1

    def __exit__(self, *_: object) -> None:
        _thread.depth -= 1
        if not _thread.depth:
            _release()


_ONE_IMAGE = _OneImage()  # shared: it has no state, and costs half a microsecond


def one_image() -> _OneImage:
    """Context manager around all work on one image; what is reserved in it is released when the outermost one exits."""
    return _ONE_IMAGE


def reserve(needed: int, name: str) -> None:
    """Waits until `needed` bytes of `LIMIT` are free; `one_image` or the next `reserve` releases them.

    Raises:
        DataError: more than `LIMIT`; the image is called `name`.
    """
    global _reserved
    if needed > LIMIT:
        raise DataError(
            f"{name} needs about {show_bytes(needed)} of memory to be decoded, and {show_bytes(LIMIT)} is the most "
            "that one image may take. Shrink it, or take it out."
        )
    _release()
    with _turn, _free_again:
        _free_again.wait_for(lambda: _reserved + needed <= LIMIT)
        _reserved += needed
        _thread.reserved = needed


def _release() -> None:
    global _reserved
    if _thread.reserved:
        with _free_again:
            _reserved -= _thread.reserved
            _thread.reserved = 0
            _free_again.notify_all()


def reserve_for(image: Image.Image, name: str, background: bool = False) -> None:
    """`reserve` for an image of which only the header is read; nothing for a small one.

    Args:
        background: whether transparent pixels are composited on one.
    """
    if image.width * image.height > SMALL or image.format == "JPEG2000":  # its two headers may say different sizes
        reserve(needed_for(image, background), name)


def needed_for(image: Image.Image, background: bool = False) -> int:
    """An upper bound on the bytes that decoding `image`, turning it and converting it to RGB take, by its header alone.

    Measured with Pillow 13 on images of 16 megapixels; where the header does not say, the worst case is assumed.
    """
    pixels = image.width * image.height
    file = getattr(image, "fp", None)
    if image.format in ("JPEG", "MPO") and file:
        with _from_start(file), contextlib.suppress(ValueError):
            return needed_for_jpeg(read_header(file.read()))
    stored = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2}.get(image.mode, 4)
    turned = 2 * stored if is_turned(image) else stored
    converted = {"I": 13, "RGB": 4}.get(image.mode, stored + 4)
    return round(max(pixels * turned, pixels * (converted + 8 * background), pixels * stored + _codec(image, file)))


def needed_for_jpeg(header: JpegHeader) -> int:
    """`needed_for` of a JPEG: the same, whatever decodes it."""
    pixels = header.width * header.height
    stored = 1 if header.components == 1 else 4
    after = max(4, stored if header.orientation == 1 else 2 * stored, stored + 4 if header.components != 3 else 0)
    return round(pixels * max(after, stored + header.coefficients))


def _codec(image: Image.Image, file: BinaryIO | None) -> float:
    """Bytes that the codec takes in addition to the image; `file` is None where it has been decoded."""
    pixels = image.width * image.height
    if file is None:
        return 0
    match image.format:
        case "JPEG" | "MPO":
            return 6 * pixels
        case "JPEG2000":
            with _from_start(file), contextlib.suppress(ValueError, struct.error):
                return _jpeg2000(file)
            return 20 * pixels
        case "TIFF":
            return _tiff(image)
        case "WEBP" | "AVIF":
            return 12 * pixels
        case "PPM":
            return 0 if all(tile.codec_name == "raw" for tile in getattr(image, "tile", ())) else 12 * pixels
        case "BMP":
            return 2 * pixels  # where it is run-length coded
    return 0


@contextlib.contextmanager
def _from_start(file: BinaryIO) -> Iterator[None]:
    """Context manager that seeks to the start of `file`, and back on exit."""
    place = file.tell()
    file.seek(0)
    try:
        yield
    finally:
        file.seek(place)


def _jpeg2000(file: BinaryIO) -> float:
    """OpenJPEG holds a tile's components as 32-bit numbers, and once more as samples (ISO 15444-1, annex A.5.1)."""
    if file.read(4) != b"\xff\x4f\xff\x51":  # not a bare codestream: it is in the box "jp2c" (annex I.4)
        file.seek(0)
        while (box := file.read(8))[4:] != b"jp2c":
            length = int.from_bytes(box[:4], "big")
            if len(box) < 8 or length < 8:
                raise ValueError("no codestream")
            file.seek(length - 8, 1)
        if file.read(4) != b"\xff\x4f\xff\x51":
            raise ValueError("no codestream")
    _, _, right, below, left, above, across, down, _, _, components = struct.unpack(">HHIIIIIIIIH", file.read(38))
    deep = any((sample & 0x7F) >= 8 for sample in file.read(3 * components)[::3])
    tile = min(across, right - left) * min(down, below - above)
    return float(tile * components * (6 if deep else 5))


def _tiff(image: Image.Image) -> float:
    """libtiff decodes a strip or a tile at a time (TIFF 6.0, sections 8 and 15); a file may consist of just one."""
    if all(tile.codec_name == "raw" for tile in getattr(image, "tile", ())):
        return 0
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(258, (1,))
    bits_a_pixel = sum(bits) if isinstance(bits, tuple) else bits * tags.get(277, 1)
    rows, across, down = tags.get(278), tags.get(322), tags.get(323)
    part = across * down if across and down else image.width * min(rows or image.height, image.height)
    return min(part, image.width * image.height) * bits_a_pixel / 8
