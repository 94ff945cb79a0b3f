"""What decoding a sample says of it, as a row of a table: its size, a thumbnail, and facts.

An image is decoded by what decodes it for training (`modalities.image.read.pillow`). What is added costs a tenth of the
decoding of an image of 224 px, and a hundredth of a photograph's: the thumbnail is of a grid of the pixels. Samples
with equal thumbnails may be the same, and only of those are all pixels hashed (`pixels_digest`).
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resnets.checks.problem import Problem
from resnets.core.errors import DataError
from resnets.modalities.audio.read import BLOCK, open_recording
from resnets.modalities.image.read import jpeg_header
from resnets.modalities.image.read.decode_memory import SMALL, one_image
from resnets.modalities.image.read.orientation import is_turned
from resnets.modalities.image.read.pillow import open_image, read_header
from resnets.modalities.image.read.transparency import is_transparent
from resnets.modalities.image.remarks import remarks

VERSION = 2  # of what a record says; another one reads every file again
THUMB = 9  # rows and columns of grey levels, of which a perceptual hash takes the differences
_GRID = 8 * THUMB  # rows and columns of pixels, whose means they are
_IN_MEMORY = 2**26  # bytes of a file that are read at once
# A file opened so costs a third of `Path.read_bytes`; and a pipe is not waited for.
_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_TAIL = 2**16  # bytes of the end of a file, after whose end mark cameras append data
_FLAT = 3  # levels by which the pixels of a constant image may differ

# Of a record; "width" and "height" are the samples and the rate of a recording.
FACTS = ("decoded", "inks", "palette", "deep", "dark", "transparent", "turned", "animated", "constant")
FACT = {name: 1 << bit for bit, name in enumerate(FACTS)}
RECORD = np.dtype([
    ("size", "<i8"), ("mtime", "<i8"), ("values", "<u8", (2,)), ("thumb", "u1", (THUMB, THUMB)), ("width", "<u4"),
    ("height", "<u4"), ("facts", "<u4"),
])  # fmt: skip
_WITH_FRAMES = ("GIF", "WEBP", "PNG", "TIFF", "AVIF")  # of a photograph, MPO has a preview as a second frame
_END_MARKS = {b"\xff\xd8": b"\xff\xd9", b"\x89PNG": b"IEND"}  # by the first bytes
Record = dict[str, Any]  # by the names of `RECORD`
File = Path | bytes  # where a file is, or its bytes


def examine_file(name: str, modality: str, *, fast: bool = False) -> tuple[Record, Problem | None]:
    """The record of the file `name`, and why it cannot be read.

    Args:
        fast: read the header and the end of the file; the values of the record stay 0.
    """
    record = Record(size=-1)
    try:
        descriptor = os.open(name, _OPEN)
        try:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                return record, Problem("unreadable", name, f"{name} is no file.")
            record["size"], record["mtime"] = info.st_size, info.st_mtime_ns
            in_memory = modality == "image" and not fast and info.st_size <= _IN_MEMORY
            file: File = _read(descriptor, info.st_size) if in_memory else Path(name)
        finally:
            os.close(descriptor)
        return _examine(file, name, record, (_FAST if fast else _DECODE)[modality])
    except FileNotFoundError:
        return record, Problem("missing_file", name, f"There is no file {name}.")
    except OSError as error:
        return record, Problem("unreadable", name, f"{name} cannot be read: {error.strerror or error}.")


def _read(descriptor: int, size: int) -> bytes:
    data = os.read(descriptor, size)
    while len(data) < size and (more := os.read(descriptor, size - len(data))):
        data += more
    return data


def examine_bytes(data: bytes, name: str, modality: str, *, fast: bool = False) -> tuple[Record, Problem | None]:
    """As `examine_file`, of the file whose bytes are `data`."""
    return _examine(data, name, Record(size=len(data)), (_FAST if fast else _DECODE)[modality])


def _examine(
    file: File, name: str, record: Record, read: Callable[[File, str, Record], Record]
) -> tuple[Record, Problem | None]:
    if not record["size"]:
        return record, Problem("empty_file", name, f"{name} has 0 bytes.")
    try:
        return read(file, name, record), None
    except DataError as error:
        return record, Problem(kind_of_damage(str(error), file, name), name, str(error))


def file_digest(file: File) -> tuple[int, int]:
    """The first 16 bytes of the SHA-256 of a file, or of its bytes."""
    if isinstance(file, bytes):
        return _start(hashlib.sha256(file).digest())
    with open(file, "rb") as opened:
        return _start(hashlib.file_digest(opened, "sha256").digest())


def pixels_digest(image: Image.Image) -> tuple[int, int]:
    """The first 16 bytes of the SHA-256 of the size and all pixels of a decoded image."""
    return _start(hashlib.sha256(f"{image.size} {image.mode} ".encode() + image.tobytes()).digest())


def _start(value: bytes) -> tuple[int, int]:
    return int.from_bytes(value[:8], "little"), int.from_bytes(value[8:16], "little")


def describe_pixels(image: Image.Image, record: Record) -> Record:
    """Adds what the decoded `image`, in RGB or grey, says: size, thumbnail, whether it is of one colour."""
    grid = image.resize((_GRID, _GRID), Image.Resampling.NEAREST)
    thumb = grid.convert("L").reduce(_GRID // THUMB).tobytes()
    facts = record.get("facts", 0) | FACT["decoded"]
    if max(thumb) - min(thumb) <= _FLAT and _is_flat(image):
        facts |= FACT["constant"]
    record["thumb"] = np.frombuffer(thumb, np.uint8).reshape(THUMB, THUMB)
    record["width"], record["height"] = image.size
    record["facts"] = facts
    return record


def _is_flat(image: Image.Image) -> bool:
    extrema: Any = image.getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return all(high - low <= _FLAT for low, high in bands)


def _decode_image(file: File, name: str, record: Record) -> Record:
    if isinstance(file, bytes) and (plain := decode_plain_jpeg(file)) is not None:
        return describe_pixels(plain, record)
    with one_image():
        header = read_header(file, name)
        mode, kind = header.mode, header.format or ""
        image = open_image(header, name=name)
        facts = _facts(file, mode, kind)
        if facts & FACT["deep"] and isinstance(file, bytes) and "dark" in remarks(file):
            facts |= FACT["dark"]
        if is_transparent(header):
            facts |= FACT["transparent"]
        if is_turned(header):  # after decoding: a PNG may store it after the pixels
            facts |= FACT["turned"]
        record["facts"] = facts
        return describe_pixels(image, record)


def decode_plain_jpeg(data: bytes) -> Image.Image | None:
    """The pixels of a JPEG of 8 bits, grey or of three colours, upright and not large; None of all others.

    Those that torchvision's operator decodes in training. Pillow's decoder is called without Pillow's reading of the
    header, which takes a quarter of the time of an image of 224 px; whatever fails is left to `open_image`.
    """
    if not (data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9")):
        return None
    try:
        header = jpeg_header.read_header(data)
        if header.bits != 8 or header.components not in (1, 3) or not header.clean or header.orientation != 1:
            return None
        if not 0 < header.width * header.height <= SMALL:
            return None
        mode = "L" if header.components == 1 else "RGB"
        return Image.frombytes(mode, (header.width, header.height), data, "jpeg", (mode, ""))
    except Exception:  # the message of `open_image` is better
        return None


def _facts(file: File, mode: str, kind: str) -> int:
    """The facts that a header says, in bits of `FACT`."""
    facts = FACT["animated"] if kind in _WITH_FRAMES and _is_animated(file, kind) else 0
    if mode in ("RGB", "L"):
        return facts
    if mode in ("CMYK", "LAB", "HSV"):
        facts |= FACT["inks"]
    if mode in ("P", "PA"):
        facts |= FACT["palette"]
    if mode.startswith("I;16") or (mode == "I" and kind == "PPM"):
        facts |= FACT["deep"]
    return facts


def _is_animated(file: File, kind: str) -> bool:
    """Whether there is more than one frame or page."""
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=(kind,)) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # a damaged second frame is none that anybody reads
        return False


def _header_of_image(file: File, name: str, record: Record) -> Record:
    header = read_header(file, name)
    if not _has_end(file):
        raise DataError(f"{name} is truncated: its end is missing. Replace it, or take it out.")
    record["width"], record["height"] = header.size
    record["facts"] = _facts(file, header.mode, header.format or "") | (FACT["turned"] if is_turned(header) else 0)
    return record


def _ends(file: File) -> tuple[bytes, bytes, int]:
    """The first 12 bytes of a file, its last `_TAIL`, and its size."""
    if isinstance(file, bytes):
        return file[:12], file[-_TAIL:], len(file)
    with open(file, "rb") as opened:
        start, size = opened.read(12), os.fstat(opened.fileno()).st_size
        opened.seek(max(0, size - _TAIL))
        return start, opened.read(), size


def _has_end(file: File) -> bool:
    """Whether a JPEG or PNG has its end mark, and a WebP file the length that it says; True of other formats."""
    start, tail, size = _ends(file)
    if start.startswith(b"RIFF") and start[8:] == b"WEBP":
        return int.from_bytes(start[4:8], "little") + 8 <= size
    return next((mark for first, mark in _END_MARKS.items() if start.startswith(first)), b"") in tail


def _decode_sound(file: File, name: str, record: Record) -> Record:
    with open_recording(file, name) as recording:
        found, silent = hashlib.sha256(f"{recording.rate} {recording.frames}".encode()), True
        size = max(1, BLOCK // recording.channels)
        for start in range(0, recording.frames, size):
            values = recording.read(start, min(size, recording.frames - start))
            silent &= not values.any()
            found.update(values.tobytes())
        record["values"] = _start(found.digest())
        record["width"], record["height"] = min(recording.frames, 2**32 - 1), recording.rate
        record["facts"] = FACT["decoded"] | (FACT["constant"] if silent else 0)
        return record


def _header_of_sound(file: File, name: str, record: Record) -> Record:
    with open_recording(file, name) as recording:
        record["width"], record["height"] = min(recording.frames, 2**32 - 1), recording.rate
        return record


def kind_of_damage(message: str, file: File, name: str) -> str:
    """The kind of the problem that a reader's `message` is about, of the file that it calls `name`."""
    message = message.replace(name, "").lower()  # which may say anything
    if "more than the" in message or "of memory to be decoded" in message:
        return "too_large"
    if any(text in message for text in ("truncated", "unexpected end", "not enough image data", "end of file")):
        return "truncated"
    try:
        start, _, size = _ends(file)
        if not size:
            return "empty_file"
        if _has_end(file):
            return "unreadable"
        if not start.startswith(b"RIFF"):  # whose decoder takes none without its end
            read_header(file, name)
        return "truncated"
    except (DataError, OSError):  # what has no header is no image
        return "unreadable"


_DECODE: Mapping[str, Callable[[File, str, Record], Record]] = {"image": _decode_image, "audio": _decode_sound}
_FAST: Mapping[str, Callable[[File, str, Record], Record]] = {"image": _header_of_image, "audio": _header_of_sound}
