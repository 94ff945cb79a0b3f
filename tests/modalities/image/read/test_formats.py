"""Formats: a closed list, by content."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from resnets.core.errors import DataError
from resnets.modalities.image.read.formats import FORMATS, allowed_formats
from resnets.modalities.image.read.pillow import open_image
from tests.conftest import noise

ODD = Path(__file__).parent / "odd"


def saved(format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(60, 40)).save(file, format, **options)
    return file.getvalue()


def test_postscript_is_never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments, **options: run.append(arguments))
    path = ODD / "postscript.jpg"
    for dataset in (path, path.read_bytes(), Image.open(path)):
        with pytest.raises(DataError, match="damaged, or of an unknown format"):
            open_image(dataset, name="postscript")
    assert not run


@pytest.mark.parametrize("format", FORMATS)
def test_formats_of_the_list_are_read_whatever_the_ending(tmp_path: Path, format: str) -> None:
    if format not in allowed_formats():
        pytest.skip(f"this Pillow has no {format}")
    (tmp_path / "wrong.jpg").write_bytes(saved(format))
    assert open_image(tmp_path / "wrong.jpg").size == (60, 40)


@pytest.mark.parametrize("format", ["EPS", "ICO", "TGA", "PCX", "SGI"])
def test_all_others_are_refused_whatever_the_ending(tmp_path: Path, format: str) -> None:
    Image.open(io.BytesIO(saved(format)))  # Pillow knows it
    (tmp_path / "wrong.jpg").write_bytes(saved(format))
    with pytest.raises(DataError, match=r"wrong\.jpg is not an image that can be read.*JPEG, PNG, WEBP"):
        open_image(tmp_path / "wrong.jpg")


def test_only_the_modules_of_the_list_are_imported() -> None:
    code = "import sys; from resnets.modalities.image.read.formats import *; allowed_formats(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "PIL.TiffImagePlugin" in loaded
    assert "PIL.EpsImagePlugin" not in loaded


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_libtiff_prints_nothing(compression: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(saved("TIFF", compression=compression))
    for place in range(200, len(data) // 2, 97):
        data[place] ^= 0x5A
    with contextlib.suppress(DataError):
        open_image(bytes(data))
    assert capfd.readouterr().err == ""


def test_deep_images() -> None:
    levels = np.asarray(open_image(ODD / "grey16.pgm", "L"))
    deep = np.frombuffer((ODD / "grey16.pgm").read_bytes()[-2 * 64 * 64 :], ">u2").reshape(64, 64)
    np.testing.assert_array_equal(levels, deep >> 8)
    with pytest.raises(DataError, match=r"rgb16-planar\.tif has planes of 16 bits"):
        open_image(ODD / "rgb16-planar.tif")
