"""What a file is by its first bytes, where its name does not say it."""

from __future__ import annotations

import os
from pathlib import Path

_IMAGES = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"GIF87a", ".gif"),
    (b"GIF89a", ".gif"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"\0\0\0\x0cjP  ", ".jp2"),
)
_SOUNDS = ((b"fLaC", ".flac"), (b"OggS", ".ogg"), (b"RF64", ".wav"))
_LENGTH = 16


def kind_of_content(path: str | Path) -> tuple[str, str] | None:
    """The modality of a file and the usual ending of its format, such as ("image", ".jpg"); None where it is unknown.

    A file that cannot be read is unknown.
    """
    try:
        if not os.path.isfile(path):  # opening a pipe would block
            return None
        with open(path, "rb") as file:
            start = file.read(_LENGTH)
    except OSError:
        return None
    if start.startswith(b"RIFF") and start[8:12] in (b"WAVE", b"WEBP"):
        return ("audio", ".wav") if start[8:12] == b"WAVE" else ("image", ".webp")
    if start.startswith(b"BM") and start[6:10] == bytes(4):  # its reserved fields
        return "image", ".bmp"
    for modality, signatures in (("image", _IMAGES), ("audio", _SOUNDS)):
        for signature, ending in signatures:
            if start.startswith(signature):
                return modality, ending
    return None
