"""Whether a sound file has the bytes that it says it has. libsndfile reads truncated wav and ogg files in silence."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

_UNKNOWN = 0xFFFFFFFF  # written by programs that cannot go back to the header, such as into pipes
_MOST_CHUNKS = 1000
_LAST = 2**17  # bytes of a file's end, of which an Ogg page takes 65,307 at most


def missing_bytes(file: BinaryIO, size: int) -> int:
    """Bytes that a wav or ogg file of `size` bytes says it has, and has not; 0 where it does not say.

    Sources: Microsoft and IBM, Multimedia Programming Interface 1.0 (1991), chunks of RIFF; RFC 3533, pages of Ogg.
    """
    start = file.read(12)
    if start[:4] == b"RIFF" and start[8:] == b"WAVE":
        return _missing_of_wav(file, size)
    if start[:4] == b"OggS":
        return _missing_of_ogg(file, size)
    return 0


def _missing_of_wav(file: BinaryIO, size: int) -> int:
    place = 12
    for _ in range(_MOST_CHUNKS):
        file.seek(place)
        header = file.read(8)
        if len(header) < 8:
            return 0
        length = struct.unpack("<I", header[4:])[0]
        if header[:4] == b"data":
            return 0 if length == _UNKNOWN else max(0, place + 8 + length - size)
        place += 8 + length + length % 2
    return 0


def _missing_of_ogg(file: BinaryIO, size: int) -> int:
    file.seek(max(0, size - _LAST), io.SEEK_SET)
    end = file.read(_LAST)
    place = end.rfind(b"OggS")
    header = end[place : place + 27]
    if place < 0 or len(header) < 27:
        return 27 - len(header) if place >= 0 else 0
    segments = end[place + 27 : place + 27 + header[26]]
    return max(0, 27 + header[26] + sum(segments) - (len(end) - place))
