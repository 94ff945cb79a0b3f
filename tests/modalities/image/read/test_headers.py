from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnets.core.errors import DataError
from resnets.modalities.image.read import headers
from resnets.modalities.image.read.headers import DOUBTFUL, RECORD, UNREADABLE, WHOLE, examine, examine_all
from resnets.modalities.image.read.pillow import open_image
from tests.conftest import noise

KINDS = ["JPEG", "PNG", "WEBP", "BMP", "PPM"]

MODES = [("PNG", "RGBA"), ("PNG", "LA"), ("PNG", "I;16"), ("PNG", "P"), ("WEBP", "RGBA")]


def encoded(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(60, 50)).save(buffer, kind, **options)
    return buffer.getvalue()


def verdict(path: Path, content: bytes) -> int:
    path.write_bytes(content)
    return int(RECORD.unpack(examine(os.fsencode(path)))[3])


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_known_by_header_and_end(kind: str, tmp_path: Path) -> None:
    content = encoded(kind)
    assert verdict(tmp_path / "x.jpg", content) == WHOLE  # whatever the ending
    size, mtime, digest, _, _ = RECORD.unpack(examine(os.fsencode(tmp_path / "x.jpg")))
    assert (size, mtime) == (len(content), (tmp_path / "x.jpg").stat().st_mtime_ns)
    for place in (1, len(content) - 1):  # what the hash covers
        changed = bytearray(content)
        changed[place] ^= 1
        (tmp_path / "y").write_bytes(changed)
        assert RECORD.unpack(examine(os.fsencode(tmp_path / "y")))[2] != digest


@pytest.mark.parametrize("kind", KINDS)
def test_no_file_that_was_cut_off_anywhere_counts_as_whole(kind: str, tmp_path: Path) -> None:
    content = encoded(kind)
    for length in {*range(0, min(len(content), 400)), *np.linspace(0, len(content) - 1, 60).astype(int).tolist()}:
        assert verdict(tmp_path / "x", content[:length]) == DOUBTFUL, length


def test_webp_of_every_kind_is_measured(tmp_path: Path) -> None:
    for options in ({"lossless": True}, {"exif": Image.Exif().tobytes()}, {"quality": 5}):
        assert verdict(tmp_path / "x", encoded("WEBP", **options)) == WHOLE


def test_a_jpeg_with_segments_beyond_its_first_4_kib_is_followed_there(tmp_path: Path) -> None:
    content = encoded("JPEG")
    long = (
        content[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", 60_000) + bytes(59_998) for _ in range(3)) + content[2:]
    )
    assert verdict(tmp_path / "x", long) == WHOLE
    assert verdict(tmp_path / "x", long[:100_000] + b"\xff\xd9") == DOUBTFUL


@pytest.mark.parametrize(
    ("what", "content"),
    [
        ("trailing bytes", lambda: encoded("JPEG") + b"more"),
        ("four colours", lambda: _cmyk()),
        ("a PNG of 2e9 pixels", lambda: _resized_png(50_000, 40_000)),
        ("a JPEG of 4e9 pixels", lambda: _resized_jpeg(65_000, 65_000)),
        ("no pixels", lambda: _resized_png(0, 40)),
        ("16 bits of grey", lambda: b"P5 2 2 65535\n" + bytes(8)),
        ("TIFF", lambda: encoded("TIFF")),
        ("GIF", lambda: encoded("GIF")),
        *((f"{kind} of {mode}", lambda kind=kind, mode=mode: _of_mode(kind, mode)) for kind, mode in MODES),
        ("nothing", lambda: b""),
        ("text", lambda: b"<html>404</html>"),
        ("PostScript", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n"),
    ],
)
def test_what_only_a_decoder_can_settle_is_doubtful(what: str, content: object, tmp_path: Path) -> None:
    assert callable(content)
    assert verdict(tmp_path / "x.jpg", content()) == DOUBTFUL, what


def _of_mode(kind: str, mode: str) -> bytes:
    image = Image.fromarray(noise(60, 50))
    if mode == "RGBA":
        image.putalpha(100)
    buffer = io.BytesIO()
    options: dict[str, Any] = {"transparency": 3} if mode == "P" else {"lossless": True} if kind == "WEBP" else {}
    image.convert("L" if mode == "I;16" else mode).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def _cmyk() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(60, 50)).convert("CMYK").save(buffer, "JPEG")
    return buffer.getvalue()


def _resized_png(width: int, height: int) -> bytes:
    content = bytearray(encoded("PNG"))
    content[16:24] = struct.pack(">II", width, height)
    return bytes(content)


def _resized_jpeg(width: int, height: int) -> bytes:
    content = bytearray(encoded("JPEG"))
    place = content.index(b"\xff\xc0")
    content[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def test_what_is_no_file_is_unreadable_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    names = [b"fifo", b"loop", b"folder", b"gone", b"x" * 300]
    found = examine_all(os.fsencode(tmp_path), names)
    assert [(record[0], record[3]) for record in RECORD.iter_unpack(found)] == [(-1, UNREADABLE)] * 5


def test_answers_come_in_the_order_of_the_names(tmp_path: Path) -> None:
    for number in range(600):
        (tmp_path / str(number)).write_bytes(bytes(number))
    sizes = [
        record[0] for record in RECORD.iter_unpack(examine_all(os.fsencode(tmp_path), map(b"%d".__mod__, range(600))))
    ]
    assert sizes == list(range(600))


def test_odd_jpegs_that_count_as_whole_are_readable_but_for_damage_in_their_middle(shared: Path) -> None:
    cut = []
    for path in sorted((shared / "odd" / "jpeg").rglob("*.jpg")):
        if RECORD.unpack(examine(os.fsencode(path)))[3] == WHOLE:
            try:
                open_image(path)
            except DataError as error:
                cut += [path.name] if "broken data stream" not in str(error) else []
    assert len(cut) <= 1  # one ends as it should, but lacks some of its rows


def test_only_the_standard_library_is_needed() -> None:
    import subprocess
    import sys

    check = f"import sys, {headers.__name__}; sys.exit(bool({{'torch', 'numpy', 'PIL'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
