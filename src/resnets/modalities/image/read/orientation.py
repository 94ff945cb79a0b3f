"""The orientation of an image, from EXIF or else from XMP; every decoder reads it here.

The metadata is only read: rewriting EXIF, as `PIL.ImageOps.exif_transpose` does, fails on odd but harmless entries.
"""

from __future__ import annotations

import re
import struct

from PIL import Image

_TAG = 0x0112
_WHOLE_NUMBERS = {3: "H", 4: "L", 8: "h", 9: "l"}  # TIFF 6.0, section 2: SHORT, LONG, SSHORT, SLONG
_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation(exif: bytes, xmp: bytes) -> int:
    """1 to 8, as EXIF 2.32 numbers them (tag 0x0112); 1 is upright.

    EXIF decides where it has the tag, as in Pillow; XMP does where EXIF is missing, malformed or without the tag. A
    number that is none of the eight means upright.

    Args:
        exif: a TIFF file, with or without "Exif" and two zeros before it; empty where there is none.
        xmp: the packet; empty where there is none.
    """
    found = _in_exif(exif)
    if found is None:
        match = _IN_XMP.search(xmp)
        found = int(match[1]) if match else 1
    return found if 1 <= found <= 8 else 1


def upright(image: Image.Image) -> Image.Image:
    """`image`, whose pixels are decoded, turned as its metadata says; `image` itself where it is upright.

    (Only after decoding is the metadata of all formats in `info`: a PNG may store it after the pixels.)
    """
    # Pillow turns TIFF files by itself while it decodes them.
    number = 1 if image.format == "TIFF" else _of(image)
    return image.transpose(_TRANSPOSE[number]) if number != 1 else image


def is_turned(image: Image.Image) -> bool:
    """Whether the header of `image` says that it has to be turned."""
    return _of(image) != 1 or getattr(image, "tag_v2", {}).get(_TAG, 1) != 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an image once it is upright, by its header."""
    turned = getattr(image, "tag_v2", {}).get(_TAG, 1) if image.format == "TIFF" else _of(image)
    return image.size if turned not in (5, 6, 7, 8) else (image.height, image.width)


def _of(image: Image.Image) -> int:
    exif = image.info.get("exif", b"")
    if not exif and isinstance(hexadecimal := image.info.get("Raw profile type exif"), str):  # ImageMagick's, in PNG
        try:
            exif = bytes.fromhex("".join(hexadecimal.split("\n")[3:]))
        except ValueError:
            exif = b""
    xmp = image.info.get("XML:com.adobe.xmp") or image.info.get("xmp") or b""
    xmp = xmp.encode(errors="replace") if isinstance(xmp, str) else xmp
    return orientation(*(part if isinstance(part, bytes) else b"" for part in (exif, xmp)))


def _in_exif(exif: bytes) -> int | None:
    """The tag's number in the first directory, if it can be read."""
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return None
    try:
        (place,) = struct.unpack_from(order + "L", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, place)
        for entry in range(place + 2, place + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(order + "HHL", exif, entry)
            if tag == _TAG and kind in _WHOLE_NUMBERS and values == 1:
                return int(struct.unpack_from(order + _WHOLE_NUMBERS[kind], exif, entry + 8)[0])
    except struct.error:  # the directory is cut off before the tag
        pass
    return None
