"""Masks are read as the numbers that they store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnets.core.errors import DataError
from resnets.modalities.image.read.mask import mask_size, read_mask
from tests.conftest import noise, truncate
from tests.modalities.image.mask_folders import mask_of

MASK = mask_of(20, 12, 4)


@pytest.mark.parametrize("ending", ["png", "bmp", "tif"])
@pytest.mark.parametrize("kind", ["grey", "palette"])
def test_values_are_numbers_and_not_colours(tmp_path: Path, kind: str, ending: str) -> None:
    image = Image.fromarray(MASK)
    if kind == "palette":
        image.putpalette([200, 10, 10, 10, 200, 10, 10, 10, 200, 90, 90, 90])
    image.save(tmp_path / f"a.{ending}")
    assert np.array_equal(read_mask(tmp_path / f"a.{ending}"), MASK)
    assert mask_size(tmp_path / f"a.{ending}") == (12, 20)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_are_not_spread(tmp_path: Path, bits: int) -> None:
    palette = Image.fromarray(MASK % 2**bits)
    palette.putpalette([level for i in range(2**bits) for level in (9 * i, 3 * i, i)])
    palette.save(tmp_path / "palette.png", bits=bits)
    assert np.array_equal(read_mask(tmp_path / "palette.png"), MASK % 2**bits)
    (tmp_path / "grey.png").write_bytes(grey_png(MASK % 2**bits, bits))
    assert np.array_equal(read_mask(tmp_path / "grey.png"), MASK % 2**bits)


def grey_png(values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], bits: int) -> bytes:
    """A grey PNG of 1, 2 or 4 bits, which Pillow does not write."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = values.shape
    of_bits = np.unpackbits(values[..., None], axis=-1)[..., 8 - bits :].reshape(height, -1)
    lines = b"".join(b"\0" + np.packbits(line).tobytes() for line in of_bits)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("image", "name", "said"),
    [
        (Image.fromarray(noise(20, 12)), "a.png", "in colour"),
        (Image.fromarray(MASK).convert("LA"), "a.png", "in colour"),
        (Image.fromarray(MASK.astype(np.uint16)), "a.png", "more than 8 bits"),
        (Image.fromarray(MASK), "a.jpg", "mask as JPEG"),
    ],
)
def test_what_is_no_mask_is_named(tmp_path: Path, image: Image.Image, name: str, said: str) -> None:
    image.save(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name}.*{said}.*PNG of one channel of 8 bits"):
        read_mask(tmp_path / name)


def test_a_damaged_mask_is_named(tmp_path: Path) -> None:
    Image.fromarray(noise(64, 64, 1)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png is damaged"):
        read_mask(truncate(tmp_path / "a.png"))
    with pytest.raises(DataError, match=r"b\.png"):
        read_mask(tmp_path / "b.png")
