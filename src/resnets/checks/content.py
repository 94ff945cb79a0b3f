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
from resnets.modalities.image.read.decode_memory import one_image
from resnets.modalities.image.read.orientation import is_turned
from resnets.modalities.image.read.pillow import open_image, read_header
from resnets.modalities.image.read.transparency import is_transparent
from resnets.modalities.image.remarks import remarks

VERSION = 1  # of what a record says; another one reads every file again
THUMB = 9  # rows and columns of grey levels, of which a perceptual hash takes the differences
_GRID = 8 * THUMB  # rows and columns of pixels, whose means they are
_IN_MEMORY = 2**26  # bytes of a file that are read at once
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


def examine_file(path: Path, modality: str, *, fast: bool = False) -> tuple[Record, Problem | None]:
    """The record of a file, and why it cannot be read.

    Args:
        fast: read the header and the end of the file; the values of the record stay 0.
    """
    record: Record = {"size": -1}
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):
            return record, Problem("unreadable", str(path), f"{path} is no file.")
        record["size"], record["mtime"] = info.st_size, info.st_mtime_ns
        if not info.st_size:
            return record, Problem("empty_file", str(path), f"{path} has 0 bytes.")
        if fast:
            return _FAST[modality](path, record), None
        return _DECODE[modality](path, record), None
    except FileNotFoundError:
        return record, Problem("missing_file", str(path), f"There is no file {path}.")
    except DataError as error:
        return record, Problem(kind_of_damage(str(error), path), str(path), str(error))
    except OSError as error:
        return record, Problem("unreadable", str(path), f"{path} cannot be read: {error.strerror or error}.")


def file_digest(path: Path) -> tuple[int, int]:
    """The first 16 bytes of the SHA-256 of a file."""
    with open(path, "rb") as file:
        return _start(hashlib.file_digest(file, "sha256").digest())


def pixels_digest(image: Image.Image) -> tuple[int, int]:
    """The first 16 bytes of the SHA-256 of the size and all pixels of a decoded image."""
    return _start(hashlib.sha256(f"{image.size} {image.mode} ".encode() + image.tobytes()).digest())


def _start(value: bytes) -> tuple[int, int]:
    return int.from_bytes(value[:8], "little"), int.from_bytes(value[8:16], "little")


def describe_pixels(image: Image.Image, record: Record) -> Record:
    """Adds what the decoded `image`, in RGB or grey, says: size, thumbnail, whether it is of one colour."""
    grid = image.resize((_GRID, _GRID), Image.Resampling.NEAREST)
    levels: Any = grid.convert("L").resize((THUMB, THUMB), Image.Resampling.BOX).load()
    thumb = bytes([levels[x, y] for y in range(THUMB) for x in range(THUMB)])  # `tobytes` takes longer than all else
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


def _decode_image(path: Path, record: Record) -> Record:
    name, data = str(path), path.read_bytes() if record["size"] <= _IN_MEMORY else None
    with one_image():
        header = read_header(path if data is None else data, name)
        mode, kind = header.mode, header.format or ""
        image = open_image(header, name=name)
        facts = _facts(path if data is None else data, mode, kind)
        if facts & FACT["deep"] and data is not None and "dark" in remarks(data):
            facts |= FACT["dark"]
        if is_transparent(header):
            facts |= FACT["transparent"]
        if is_turned(header):  # after decoding: a PNG may store it after the pixels
            facts |= FACT["turned"]
        record["facts"] = facts
        return describe_pixels(image, record)


def _facts(file: bytes | Path, mode: str, kind: str) -> int:
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


def _is_animated(file: bytes | Path, kind: str) -> bool:
    """Whether there is more than one frame or page."""
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=(kind,)) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # a damaged second frame is none that anybody reads
        return False


def _header_of_image(path: Path, record: Record) -> Record:
    header = read_header(path)
    if not _has_end(path):
        raise DataError(f"{path} is truncated: its end is missing. Replace it, or take it out.")
    record["width"], record["height"] = header.size
    record["facts"] = _facts(path, header.mode, header.format or "") | (FACT["turned"] if is_turned(header) else 0)
    return record


def _has_end(path: Path) -> bool:
    """Whether a JPEG or PNG has its end mark in its last 64 KiB, after which cameras append data, and a WebP file the
    length that it says; True of other formats.
    """
    with open(path, "rb") as file:
        start, size = file.read(12), os.fstat(file.fileno()).st_size
        file.seek(max(0, size - 2**16))
        if start.startswith(b"RIFF") and start[8:] == b"WEBP":
            return int.from_bytes(start[4:8], "little") + 8 <= size
        mark = next((mark for first, mark in _END_MARKS.items() if start.startswith(first)), b"")
        return mark in file.read()


def _decode_sound(path: Path, record: Record) -> Record:
    with open_recording(path) as recording:
        found, silent = hashlib.sha256(f"{recording.rate} {recording.frames}".encode()), True
        size = max(1, BLOCK // recording.channels)
        for start in range(0, recording.frames, size):
            values = recording.read(start, min(size, recording.frames - start))
            silent &= not values.any()
            found.update(np.ascontiguousarray(values))
        return record | {
            "values": _start(found.digest()),
            "width": min(recording.frames, 2**32 - 1),
            "height": recording.rate,
            "facts": FACT["decoded"] | (FACT["constant"] if silent else 0),
        }


def _header_of_sound(path: Path, record: Record) -> Record:
    with open_recording(path) as recording:
        return record | {"width": min(recording.frames, 2**32 - 1), "height": recording.rate}


def kind_of_damage(message: str, path: Path) -> str:
    """The kind of a problem that a reader's message is about."""
    message = message.replace(str(path), "")  # whose name may say anything
    if "more than the" in message or "of memory to be decoded" in message:
        return "too_large"
    if any(text in message.lower() for text in ("truncated", "unexpected end", "not enough image data", "end of file")):
        return "truncated"
    try:
        if not os.path.getsize(path):
            return "empty_file"
        if _has_end(path):
            return "unreadable"
        with open(path, "rb") as file:
            if file.read(4) != b"RIFF":
                read_header(path)
        return "truncated"
    except (DataError, OSError):  # what has no header is no image
        return "unreadable"


_DECODE: Mapping[str, Callable[[Path, Record], Record]] = {"image": _decode_image, "audio": _decode_sound}
_FAST: Mapping[str, Callable[[Path, Record], Record]] = {"image": _header_of_image, "audio": _header_of_sound}
