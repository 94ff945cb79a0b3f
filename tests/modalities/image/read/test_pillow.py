from __future__ import annotations

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from resnets.core.errors import DataError
from resnets.modalities.image.read.pillow import open_image
from tests.conftest import noise, truncate


def pixels(image: Image.Image) -> NDArray[np.int64]:
    return np.asarray(image).astype(np.int64)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("ending", "options"), [("png", {}), ("webp", {"lossless": True}), ("bmp", {}), ("tif", {}), ("ppm", {})]
)
def test_lossless_files_give_back_the_pixels_that_were_saved(
    tmp_path: Path, ending: str, options: dict[str, Any], channels: int
) -> None:
    saved = noise(23, 17, channels)
    path = tmp_path / f"image.{ending}"
    Image.fromarray(saved).save(path, **options)
    opened = open_image(path)
    assert opened.mode == "RGB"
    np.testing.assert_array_equal(pixels(opened), saved if channels == 3 else np.stack([saved] * 3, 2))
    np.testing.assert_array_equal(pixels(open_image(path.read_bytes())), pixels(opened))


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}])
def test_jpeg_files_give_nearly_the_pixels_that_were_saved(tmp_path: Path, options: dict[str, Any]) -> None:
    across, down = np.meshgrid(np.linspace(0, 255, 60), np.linspace(0, 255, 40))
    saved = np.stack([across, down, 255 - across], 2).astype(np.uint8)
    Image.fromarray(saved).save(tmp_path / "image.jpg", quality=95, **options)
    assert np.abs(pixels(open_image(tmp_path / "image.jpg")) - saved).mean() < 2


PALETTE = noise(16, 1, seed=1)[0]


INDICES = noise(9, 7, channels=1, seed=2) % 16


PLAIN = noise(9, 7)


ALPHA = noise(9, 7, channels=1, seed=3)


INK = noise(9, 7, channels=4)


def palette_image() -> Image.Image:
    image = Image.fromarray(INDICES, "P")
    image.putpalette(PALETTE.tobytes())
    return image


@pytest.mark.parametrize(
    ("image", "ending", "options", "expected"),
    [
        pytest.param(palette_image(), "png", {}, PALETTE[INDICES], id="palette"),
        pytest.param(palette_image(), "gif", {}, PALETTE[INDICES], id="gif"),
        pytest.param(palette_image(), "png", {"transparency": 3}, PALETTE[INDICES], id="palette with a clear colour"),
        pytest.param(Image.fromarray(np.dstack([PLAIN, ALPHA])), "png", {}, PLAIN, id="RGBA"),
        pytest.param(Image.fromarray(PLAIN), "png", {"transparency": (1, 2, 3)}, PLAIN, id="RGB with a clear colour"),
        pytest.param(
            Image.fromarray(np.dstack([INDICES, ALPHA])), "png", {}, np.dstack([INDICES] * 3), id="grey with alpha"
        ),
        pytest.param(
            Image.fromarray(INDICES > 7), "png", {}, np.dstack([255 * (INDICES > 7)] * 3), id="black and white"
        ),
        pytest.param(
            Image.fromarray(INK, "CMYK"), "tif", {}, (255.0 - INK[..., :3]) * (255.0 - INK[..., 3:]) / 255, id="CMYK"
        ),
    ],
)
def test_every_mode_becomes_the_colours_it_stands_for(
    tmp_path: Path, image: Image.Image, ending: str, options: dict[str, Any], expected: NDArray[Any]
) -> None:
    image.save(tmp_path / f"image.{ending}", **options)
    opened = open_image(tmp_path / f"image.{ending}")
    assert opened.mode == "RGB"
    np.testing.assert_allclose(pixels(opened), expected, atol=1 if image.mode == "CMYK" else 0)


def test_grey_is_the_luma_of_bt_601(tmp_path: Path) -> None:
    Image.fromarray(PLAIN).save(tmp_path / "image.png")
    opened = open_image(tmp_path / "image.png", "L")
    assert opened.mode == "L"
    np.testing.assert_allclose(pixels(opened), PLAIN @ np.array([0.299, 0.587, 0.114]), atol=1)


def png(width: int, height: int, color: int, depth: int, rows: bytes) -> bytes:
    """A PNG file, written by hand because Pillow saves no 16-bit colour; `color` is 0 for grey, 2 for RGB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("low", ["the same byte again", "zero"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_16_bit_png_looks_like_its_8_bit_copy(low: str, channels: int) -> None:
    narrow = noise(9, 7, channels)
    wide = narrow.astype(np.uint16) * (257 if low == "the same byte again" else 256)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide)
    opened = open_image(png(9, 7, 0 if channels == 1 else 2, 16, rows))
    np.testing.assert_array_equal(pixels(opened), narrow if channels == 3 else np.dstack([narrow] * 3))


@pytest.mark.parametrize("ending", ["tif", "jp2"])
def test_16_bit_grey_keeps_its_upper_byte(tmp_path: Path, ending: str) -> None:
    narrow = noise(9, 7, channels=1)
    Image.fromarray(narrow.astype(np.uint16) * 257).save(tmp_path / f"image.{ending}")
    np.testing.assert_array_equal(pixels(open_image(tmp_path / f"image.{ending}", "L")), narrow)


def test_pixels_of_unknown_range_are_refused(tmp_path: Path) -> None:
    Image.fromarray(noise(4, 4, 1).astype(np.float32)).save(tmp_path / "height.tif")
    with pytest.raises(DataError, match=r"height\.tif has 32-bit pixels"):
        open_image(tmp_path / "height.tif")


# How an image lies in the file, by EXIF orientation (EXIF 2.32, tag 0x0112: where row 0 and column 0 belong).
STORED = {
    1: PLAIN,
    2: np.fliplr(PLAIN),
    3: np.rot90(PLAIN, 2),
    4: np.flipud(PLAIN),
    5: PLAIN.transpose(1, 0, 2),
    6: np.rot90(PLAIN, 1),
    7: np.rot90(PLAIN, 2).transpose(1, 0, 2),
    8: np.rot90(PLAIN, -1),
}


@pytest.mark.parametrize("orientation", STORED)
def test_images_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(STORED[orientation])).save(tmp_path / "image.png", exif=exif)
    np.testing.assert_array_equal(pixels(open_image(tmp_path / "image.png")), PLAIN)


@pytest.mark.parametrize("orientation", range(9))
@pytest.mark.parametrize("photo", ["Landscape", "Portrait"])
def test_a_real_photo_looks_the_same_in_every_orientation(shared: Path, photo: str, orientation: int) -> None:
    upright, turned = (
        pixels(open_image(shared / "odd" / "exif" / f"{photo}_{number}.jpg").reduce(4)) for number in (1, orientation)
    )
    assert np.abs(upright - turned).mean() < 3  # flipped it would be 40 or more


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    first, second = (Image.fromarray(np.full((5, 5), level, np.uint8)) for level in (50, 200))
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    assert np.unique(pixels(open_image(tmp_path / "moving.gif"))).tolist() == [50]


def image_or_message(path: Path) -> Image.Image | str:
    try:
        return open_image(path)
    except DataError as error:
        return str(error)


@pytest.mark.timeout(60)
@pytest.mark.filterwarnings("ignore")
def test_every_odd_jpeg_opens_right_or_is_named_as_damaged(shared: Path) -> None:
    opened = compared = 0
    for path in sorted((shared / "odd" / "jpeg").rglob("*.jp*g")):
        result = image_or_message(path)
        if isinstance(result, str):
            assert str(path) in result
            continue
        opened += 1
        reference = path.with_suffix(".png")
        if reference.is_file():
            compared += 1
            assert np.abs(pixels(result) - pixels(open_image(reference))).max() <= 3, path
    assert opened > 50
    assert compared > 35


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "bmp"])
def test_a_truncated_file_is_refused_by_name(tmp_path: Path, ending: str, share: float) -> None:
    Image.fromarray(noise(200, 200)).save(tmp_path / f"cut.{ending}")
    with pytest.raises(DataError, match=rf"cut\.{ending}"):
        open_image(truncate(tmp_path / f"cut.{ending}", share))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "damaged, or of an unknown format", id="empty"),
        pytest.param(b"<html>404</html>", "damaged, or of an unknown format", id="an error page"),
        pytest.param(
            png(60_000, 60_000, 0, 8, b""),
            "more than the 178,956,970 pixels that are decoded",
            id="a decompression bomb",
        ),
    ],
)
def test_what_is_no_image_is_refused_by_name(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "odd.png").write_bytes(content)
    with pytest.raises(DataError, match=rf"odd\.png .*{said}"):
        open_image(tmp_path / "odd.png")
    with pytest.raises(DataError, match=rf"upload 3 .*{said}"):
        open_image(content, name="upload 3")


def test_missing_files_and_folders_have_messages_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no image at .*gone\.png"):
        open_image(tmp_path / "gone.png")
    with pytest.raises(DataError, match="is a folder"):
        open_image(tmp_path)


def test_decoding_in_threads_leaves_the_warnings_of_the_process_alone(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(24)]
    for number, path in enumerate(paths):
        Image.fromarray(noise(20 * (1 + number % 5), 100)).save(path)
    before = list(warnings.filters)
    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(open_image, paths))
    assert list(warnings.filters) == before


def test_opening_an_image_of_pillows_leaves_it_as_it_was() -> None:
    image = palette_image()
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    np.testing.assert_array_equal(pixels(open_image(image)), pixels(open_image(buffer.getvalue())))
    assert image.mode == "P"
