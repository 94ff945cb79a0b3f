"""One fault in one image of a folder: it is found by its path and kind, and nothing else is."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.checks.content import decode_plain_jpeg
from resnets.modalities.image.read.pillow import open_image
from tests.checks.scenes import check, scene, write_scenes
from tests.conftest import truncate

Plant = Callable[[Path], object]


def as_png(path: Path) -> Path:
    scene(99).save(path, "PNG")
    return path


def as_webp(path: Path) -> Path:
    scene(99).save(path, "WEBP")
    return path


def gigantic(path: Path) -> None:
    """A PNG whose header says that it has 400 megapixels."""
    data = as_png(path).read_bytes()
    header = b"IHDR" + struct.pack(">II", 20_000, 20_000) + data[24:29]
    path.write_bytes(data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:])


def sixteen_bits(path: Path, shift: int) -> None:
    grey = np.asarray(scene(99).convert("L")).astype(np.uint16) << shift
    Image.fromarray(grey).save(path, "PNG")


def transparent(path: Path) -> None:
    image = scene(99)
    image.putalpha(128)
    image.save(path, "PNG")


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    scene(99).save(path, "JPEG", exif=exif)


PLANTS: list[tuple[str, str, Plant]] = [
    ("error", "unreadable", lambda path: path.write_bytes(b"not an image")),
    ("error", "unreadable", lambda path: path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(200))),
    ("error", "unreadable", lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")),
    ("error", "truncated", truncate),
    ("error", "truncated", lambda path: truncate(as_png(path))),
    ("error", "truncated", lambda path: truncate(as_webp(path))),
    ("error", "empty_file", lambda path: path.write_bytes(b"")),
    ("error", "too_large", gigantic),
    ("warning", "odd_mode", lambda path: scene(99).convert("CMYK").save(path, "JPEG")),
    ("warning", "odd_mode", lambda path: scene(99).convert("P").save(path, "PNG")),
    ("warning", "odd_mode", lambda path: sixteen_bits(path, 8)),
    ("warning", "transparency", transparent),
    ("warning", "orientation", turned),
    ("warning", "animation", lambda path: scene(99).save(path, "PNG", save_all=True, append_images=[scene(98)])),
    ("warning", "constant", lambda path: Image.new("RGB", (64, 48), (90, 120, 30)).save(path, "JPEG")),
    ("warning", "odd_size", lambda path: scene(99, 8, 6).save(path, "JPEG")),
    ("warning", "odd_size", lambda path: scene(99, 800, 600).save(path, "JPEG")),
    ("warning", "odd_size", lambda path: scene(99, 640, 48).save(path, "JPEG")),
]


@pytest.mark.parametrize(("severity", "kind", "plant"), PLANTS)
@pytest.mark.parametrize("place", ["train/cat/2.jpg", "val/dog/1.jpg"])
def test_a_fault_is_found_by_its_path(tmp_path: Path, place: str, severity: str, kind: str, plant: Plant) -> None:
    root = write_scenes(tmp_path / "photos")
    plant(root / place)
    assert check(root) == {(severity, kind, str(root / place))}
    assert check(root, skip=kind) == set()
    assert check(root, only=kind) == {(severity, kind, str(root / place))}


def test_in_a_clean_folder_nothing_is_wrong(tmp_path: Path) -> None:
    result = resnets.check(write_scenes(tmp_path / "photos"))
    assert result.problems == ()
    assert (dict(result.samples), dict(result.classes)) == ({"train": 8, "val": 4}, {"cat": 6, "dog": 6})
    assert not result.failed


def test_grey_and_upright_images_are_as_they_should_be(tmp_path: Path) -> None:
    root = write_scenes(tmp_path / "photos")
    scene(99).convert("L").save(root / "train" / "cat" / "2.jpg")
    opaque = scene(98)
    opaque.putalpha(255)
    opaque.save(root / "train" / "cat" / "3.jpg", "PNG")
    assert check(root) == set()


def test_an_image_of_twelve_bits_is_nearly_black(tmp_path: Path) -> None:
    root = write_scenes(tmp_path / "photos")
    sixteen_bits(root / "train" / "cat" / "2.jpg", 3)
    (problem,) = resnets.check(root).of("odd_mode")
    assert "nearly black" in problem.detail


def test_a_name_does_not_decide_the_kind(tmp_path: Path) -> None:
    root = write_scenes(tmp_path / "photos")
    path = root / "train" / "cat" / "truncated, not of memory to be decoded.jpg"
    path.write_bytes(b"not an image")
    assert check(root) == {("error", "unreadable", str(path))}


def test_what_is_decoded_without_its_header_is_what_training_reads(shared: Path) -> None:
    decoded = 0
    for path in [
        *sorted((shared / "odd").rglob("*.jp*g")),
        *sorted((shared / "imagenette" / "val").rglob("*.JPEG"))[::9],
    ]:
        data = path.read_bytes()
        image = decode_plain_jpeg(data)
        if image is not None:
            decoded += 1
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), np.asarray(open_image(data)), str(path))
    assert decoded > 80


FAST = {"unreadable", "truncated", "empty_file", "too_large", "odd_mode", "orientation", "animation", "odd_size"}


@pytest.mark.parametrize(("severity", "kind", "plant"), [each for each in PLANTS if each[1] in FAST])
def test_the_header_says_it_too(tmp_path: Path, severity: str, kind: str, plant: Plant) -> None:
    root = write_scenes(tmp_path / "photos")
    plant(root / "train" / "cat" / "2.jpg")
    assert (severity, kind) in {each[:2] for each in check(root, fast=True)}


def test_found_odd_images_are_read_or_named(shared: Path, tmp_path: Path) -> None:
    root = tmp_path / "odd"
    root.mkdir()
    for name in ("found", "exif"):
        (root / name).symlink_to(shared / "odd" / name)
    result = resnets.check(root)
    names = {
        kind: {Path(each.path).name for each in result.of(kind)} for kind in ("unreadable", "too_large", "odd_mode")
    }
    assert names["unreadable"] == {"postscript.jpg", "postscript-endless.jpg", "rgb16-planar.tif"}
    assert "178-megapixels.jp2" in names["too_large"]
    assert "grey16.pgm" in names["odd_mode"]
    assert {Path(each.path).name for each in result.of("orientation")} >= {
        *(f"{way}_{n}.jpg" for way in ("Landscape", "Portrait") for n in range(2, 9)), "xmp-orientation-only.jpg",
    }  # fmt: skip
