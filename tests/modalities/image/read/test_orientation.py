"""Orientation: read in one way, wherever it stands, and by both JPEG decoders."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from resnets.modalities.image.read import jpeg
from resnets.modalities.image.read.jpeg_header import read_header
from resnets.modalities.image.read.orientation import orientation
from resnets.modalities.image.read.pillow import open_image
from tests.conftest import noise

ODD = Path(__file__).parent / "odd"
STORED = noise(48, 31, seed=5)
# From what is stored to what is right (EXIF 2.32, tag 0x0112: where row 0 and column 0 belong).
UPRIGHT = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


def exif(number: int, order: str = ">", kind: int = 3) -> bytes:
    """A TIFF directory with the maker as a rational number (against the standard) and the orientation."""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    value = struct.pack(order + ("H2x" if kind == 3 else "L"), number)
    entries = struct.pack(order + "HHLL", 0x010F, 5, 1, 38) + struct.pack(order + "HHL", 0x0112, kind, 1) + value
    return mark + struct.pack(order + "LH", 8, 2) + entries + struct.pack(order + "LLL", 0, 72, 1)


def xmp(number: int) -> bytes:
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="{number}"/></x:xmpmeta>'.encode()


EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
PLACES = {
    "EXIF": lambda n: [EXIF + exif(n)],
    "EXIF in little-endian": lambda n: [EXIF + exif(n, "<")],
    "EXIF as a long number": lambda n: [EXIF + exif(n, kind=4)],
    "EXIF in two segments": lambda n: [EXIF + exif(n)[:17], EXIF + exif(n)[17:]],
    "XMP alone": lambda n: [XMP + xmp(n)],
    "XMP's segment first": lambda n: [XMP + xmp(1), EXIF + exif(n)],
    "XMP beside an empty EXIF": lambda n: [EXIF, XMP + xmp(n)],
    "XMP beside a malformed EXIF": lambda n: [EXIF + b"GARBAGE!" * 4, XMP + xmp(n)],
    "XMP beside an EXIF that is cut off": lambda n: [EXIF + exif(3)[:20], XMP + xmp(n)],
    "another first segment": lambda n: [b"Something else", EXIF + exif(n)],
}


def with_segments(encoded: bytes, segments: list[bytes]) -> bytes:
    return encoded[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", 2 + len(s)) + s for s in segments) + encoded[2:]


def encoded(format: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(STORED).save(file, format, **options)
    return file.getvalue()


def by_pillow(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(open_image(data))


def by_torchvision(data: bytes) -> NDArray[np.uint8]:
    pixels = jpeg.decode(data)
    assert pixels is not None
    return pixels.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("decoder", [by_pillow, by_torchvision])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", UPRIGHT)
def test_both_jpeg_decoders_read_it_wherever_it_stands(number: int, place: str, decoder: object) -> None:
    assert callable(decoder)
    plain = encoded("JPEG")
    turned = decoder(with_segments(plain, PLACES[place](number)))
    np.testing.assert_array_equal(turned, UPRIGHT[number](by_pillow(plain)))


@pytest.mark.parametrize("segments", [[], [EXIF], [EXIF + b"\0"], [EXIF + exif(0)], [EXIF + exif(9)], [XMP + xmp(9)]])
def test_what_says_nothing_leaves_the_image_as_it_is(segments: list[bytes]) -> None:
    plain = encoded("JPEG")
    for decoder in (by_pillow, by_torchvision):
        np.testing.assert_array_equal(decoder(with_segments(plain, segments)), by_pillow(plain))


@pytest.mark.parametrize("number", UPRIGHT)
@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_other_formats_have_it_too(format: str, number: int) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    said = Image.Exif()
    said[0x0112] = number
    data = encoded(format, exif=said, **options)
    np.testing.assert_array_equal(by_pillow(data), UPRIGHT[number](STORED))
    if format == "WEBP":
        data = encoded(format, xmp=xmp(number), **options)
        np.testing.assert_array_equal(by_pillow(data), UPRIGHT[number](STORED))


@pytest.mark.parametrize("name", ["exif-xmp-segment-first", "xmp-orientation-only"])
def test_files_on_which_the_decoders_differed(name: str) -> None:
    data = (ODD / f"{name}.jpg").read_bytes()
    assert by_pillow(data).shape == (48, 31, 3)
    np.testing.assert_array_equal(by_torchvision(data), by_pillow(data))


def test_a_file_whose_exif_cannot_be_written_is_read() -> None:
    data = (ODD / "exif-make-is-rational.jpg").read_bytes()
    assert by_pillow(data).shape == (48, 31, 3)
    np.testing.assert_array_equal(by_torchvision(data), by_pillow(data))


@pytest.mark.parametrize("number", range(9))
@pytest.mark.parametrize("photo", ["Landscape", "Portrait"])
def test_photographs_of_all_orientations(shared: Path, photo: str, number: int) -> None:
    data = (shared / "odd" / "exif" / f"{photo}_{number}.jpg").read_bytes()
    pixels = by_pillow(data)
    assert (pixels.shape[1] > pixels.shape[0]) == (photo == "Landscape")
    np.testing.assert_array_equal(by_torchvision(data), pixels)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from([0x010E, 0x0110, 0x0131, 0x0132]), st.text("abc", min_size=1, max_size=9)),
    st.integers(0, 12),
)
def test_exif_reads_as_pillow_reads_it(others: dict[int, str], number: int) -> None:
    said = Image.Exif()
    for tag, text in others.items():
        said[tag] = text
    said[0x0112] = number
    assert orientation(said.tobytes(), b"") == (number if 1 <= number <= 8 else 1)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=64), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", EXIF]), st.binary(max_size=64)
)
def test_no_bytes_are_too_odd(exif_bytes: bytes, start: bytes, xmp_bytes: bytes) -> None:
    assert 1 <= orientation(start + exif_bytes, xmp_bytes) <= 8


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 400), st.binary(max_size=6), st.integers(0, 400))
def test_a_damaged_jpeg_header_is_read_or_refused_and_never_more(place: int, junk: bytes, end: int) -> None:
    data = with_segments(encoded("JPEG"), [EXIF + exif(6)])
    try:
        header = read_header(data[:place] + junk + data[place : len(data) - end])
    except ValueError:
        return
    assert 1 <= header.orientation <= 8
    assert 0 <= header.coefficients <= 512
