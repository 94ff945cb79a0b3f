"""Whether an image file is complete, by its header and its end marker alone, and a hash of both.

Only the standard library is imported: the scan of a large dataset starts this module in processes of its own.
A file is `WHOLE` only where that is certain, and where it can be neither transparent nor of 16 bits; other files have
to be decoded to know, so that this module refuses none by itself.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import struct
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

SPAN = 4096  # bytes of a file's beginning and of its end that are read and hashed
WHOLE, DOUBTFUL, UNREADABLE = 1, 2, 3
# Size in bytes, modification time in ns, hash, verdict, and a bit for each of `remarks.REMARKS`, which decoding sets.
RECORD = struct.Struct("<qq16sBB")
_SURE_PIXELS = 50_000_000  # a decoder has to say whether it takes larger images
_THREADS = 4
_PNM = re.compile(rb"P([56])\s+(\d{1,9})\s+(\d{1,9})\s+255\s")
_IEND = b"\0\0\0\0IEND\xaeB`\x82"

Read = Callable[[int, int], bytes]


def examine(path: bytes) -> bytes:
    """The `RECORD` of the file at `path`; one that cannot be read has size -1."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with io.FileIO(handle) as file:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode):
                return RECORD.pack(-1, 0, b"", UNREADABLE, 0)
            size = info.st_size
            head = file.read(SPAN)
            tail = head[-SPAN:] if size <= SPAN else _read_at(file, size - SPAN, SPAN)
            digest = hashlib.sha256(head + tail).digest()[:16]
            whole = _is_whole(head, tail, size, lambda place, count: _read_at(file, place, count))
            return RECORD.pack(size, info.st_mtime_ns, digest, WHOLE if whole else DOUBTFUL, 0)
    except OSError:
        return RECORD.pack(-1, 0, b"", UNREADABLE, 0)


def examine_part(read: Read, size: int) -> tuple[bytes, bool]:
    """The hash in a `RECORD`, and whether the image is `WHOLE`, of an image of `size` bytes within a file.

    Args:
        read: gives bytes of it, from a place in it.
    """
    head = read(0, SPAN)
    tail = head if size <= SPAN else read(size - SPAN, SPAN)
    return hashlib.sha256(head + tail).digest()[:16], len(head) == min(size, SPAN) and _is_whole(head, tail, size, read)


def examine_all(root: bytes, names: Iterable[bytes], threads: int = _THREADS) -> bytes:
    """The concatenated records of files below `root`."""
    with ThreadPoolExecutor(threads) as pool:  # network storage answers several requests at once
        return b"".join(pool.map(lambda part: b"".join(examine(root + b"/" + name) for name in part), _parts(names)))


def _parts(names: Iterable[bytes], count: int = 256) -> list[list[bytes]]:
    listed = list(names)
    return [listed[first : first + count] for first in range(0, len(listed), count)]


def _read_at(file: io.FileIO, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)


def _is_whole(head: bytes, tail: bytes, size: int, read: Read) -> bool:
    try:
        for start, check in _CHECKS:
            if head.startswith(start):
                return check(head, tail, size, read)
    except (struct.error, IndexError):  # the header itself is cut off
        pass
    return False


def _jpeg(head: bytes, tail: bytes, size: int, read: Read) -> bool:
    """ISO 10918-1, annex B: segments up to the scan, among them a frame of 8 bits, grey or of three colours."""
    if not tail.endswith(b"\xff\xd9"):
        return False
    place, framed = 2, False
    while place < size:
        segment = head[place : place + 10] if place + 10 <= len(head) else read(place, 10)
        filler, marker, length = struct.unpack_from(">BBH", segment)
        if filler != 0xFF or length < 2:
            return False
        if marker == 0xDA:
            return framed
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width, colors = struct.unpack_from(">BHHB", segment, 4)
            if marker > 0xC2 or bits != 8 or colors not in (1, 3) or not _is_sure(width, height):
                return False
            framed = True
        place += 2 + length
    return False


def _png(head: bytes, tail: bytes, size: int, read: Read) -> bool:
    """Chunks up to the first of pixels, of which none is of transparency (W3C PNG, section 11)."""
    width, height, bits, kind = struct.unpack_from(">IIBB", head, 16)
    if head[12:16] != b"IHDR" or not _is_sure(width, height) or not tail.endswith(_IEND) or bits > 8 or kind in (4, 6):
        return False
    place = 8
    while place < size:
        chunk = head[place : place + 8] if place + 8 <= len(head) else read(place, 8)
        length, name = struct.unpack(">I4s", chunk)
        if name in (b"IDAT", b"tRNS"):
            return bool(name == b"IDAT")
        place += 12 + length
    return False


def _webp(head: bytes, tail: bytes, size: int, read: Read) -> bool:
    if head[8:12] != b"WEBP" or struct.unpack_from("<I", head, 4)[0] + 8 != size:
        return False
    kind = head[12:16]
    if kind == b"VP8X" and not head[20] & 0x10:  # its flag of transparency
        width, height = (int.from_bytes(head[place : place + 3], "little") + 1 for place in (24, 27))
    elif kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", head, 26))
    elif kind == b"VP8L" and head[20] == 0x2F:
        packed = struct.unpack_from("<I", head, 21)[0]
        if packed >> 28 & 1:
            return False
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    else:
        return False
    return _is_sure(width, height)


def _bmp(head: bytes, tail: bytes, size: int, read: Read) -> bool:
    start, header, width, height, _, bits, compression = struct.unpack_from("<IIiiHHI", head, 10)
    if header < 40 or compression or bits not in (8, 24) or not _is_sure(width, abs(height)):
        return False
    return bool(start + (width * bits + 31) // 32 * 4 * abs(height) <= size)


def _pnm(head: bytes, tail: bytes, size: int, read: Read) -> bool:
    found = _PNM.match(head)
    if found is None:
        return False
    width, height = int(found[2]), int(found[3])
    return _is_sure(width, height) and found.end() + width * height * (3 if found[1] == b"6" else 1) <= size


def _is_sure(width: int, height: int) -> bool:
    return width > 0 and height > 0 and width * height <= _SURE_PIXELS


_CHECKS = (
    (b"\xff\xd8\xff", _jpeg),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"RIFF", _webp),
    (b"BM", _bmp),
    (b"P5", _pnm),
    (b"P6", _pnm),
)


def main() -> None:
    """Reads a folder and names in it from standard input, separated by NUL; writes records to standard output."""
    root, *names = sys.stdin.buffer.read().split(b"\0")
    sys.stdout.buffer.write(examine_all(root, names))


if __name__ == "__main__":
    main()
