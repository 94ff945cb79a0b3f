"""What `predict` takes: the same image gives the same answer, to the last bit, whatever it is given in."""

from __future__ import annotations

import gc
import io
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import resnets
from resnets.artifacts.model import Model
from resnets.core.errors import DataError, PredictionError, UsageError
from tests.conftest import noise


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "it.png"
    Image.fromarray(noise(50, 40)).save(path)
    return path


class Stream(io.RawIOBase):
    """A file that cannot seek, as a download is."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)


def test_whatever_an_image_is_given_in_its_answer_is_that_of_the_file(model: Model, file: Path) -> None:
    expected = model.predict(file)
    pixels = np.asarray(Image.open(file))
    levels = torch.from_numpy(pixels.copy())
    content = file.read_bytes()
    at_end = io.BytesIO(content)
    at_end.seek(0, io.SEEK_END)
    given: dict[str, Any] = {
        "text": str(file),
        "NumPy's text": np.str_(file),
        "an array of one text": np.array(str(file)),
        "an address of this machine": file.as_uri(),
        "bytes": content,
        "bytearray": bytearray(content),
        "memoryview": memoryview(content),
        "file": file.open("rb"),
        "read to its end": at_end,
        "stream": Stream(content),
        "Pillow": Image.open(file),
        "array": pixels,
        "channels first": pixels.transpose(2, 0, 1),
        "float32": (pixels / 255).astype(np.float32),
        "float64, mirrored twice": (pixels / 255)[:, ::-1][:, ::-1],
        "tensor": levels,
        "tensor, channels first": levels.permute(2, 0, 1),
        "tensor with gradient": (levels.permute(2, 0, 1) / 255).requires_grad_(),
    }
    for name, value in given.items():
        assert model.predict(value) == expected, name
    # bfloat16 is too coarse for 256 levels.
    assert model.predict((levels > 127).to(torch.bfloat16)) == model.predict(np.asarray(levels > 127))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGBA", "I;16"])
def test_decoded_pixels_of_any_mode_give_the_answer_of_the_file(model: Model, mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(noise(40, 50, 4), "RGBA").convert("LA" if mode == "LA" else "RGBA")
    image = Image.fromarray(noise(40, 50, 1).astype(np.uint16) * 257 + 5) if mode == "I;16" else image.convert(mode)
    image.save(tmp_path / "it.png")
    assert Image.open(tmp_path / "it.png").mode == mode
    expected = model.predict(tmp_path / "it.png")
    assert model.predict(np.asarray(Image.open(tmp_path / "it.png"))) == expected
    assert model.predict(Image.open(tmp_path / "it.png")) == expected


@pytest.mark.parametrize("mode", ["P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "RGBX", "RGBa", "La", "I;16B"])
def test_images_of_pillow_of_other_modes_are_read(model: Model, mode: str) -> None:
    image = Image.fromarray(noise(40, 50))
    grey = image.convert("L")
    made = grey.convert("LA").convert("La") if mode == "La" else image
    if mode == "I;16B":
        made = Image.frombytes(mode, (40, 50), (np.asarray(grey).astype(np.uint16) << 8).astype(">u2").tobytes())
    elif mode != "La":
        made = image.convert("RGBA").convert(mode) if mode == "RGBa" else image.convert(mode)
    plain = grey if mode in ("La", "I;16B") else made.convert("RGB")
    assert model.predict(made) == model.predict(plain)


def test_images_of_pillow_are_turned_as_files_are(model: Model, tmp_path: Path) -> None:
    image = Image.fromarray(noise(50, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    turned = model.predict(tmp_path / "turned.png")
    assert model.predict(Image.open(tmp_path / "turned.png")) == turned
    assert turned == model.predict(image.transpose(Image.Transpose.ROTATE_270)) != model.predict(image)


def test_a_batch_a_list_and_an_iterator_get_an_answer_an_image(model: Model, file: Path) -> None:
    pixels = np.stack([noise(33, 33, seed=seed) for seed in range(3)])
    expected = model.predict_many([Image.fromarray(each) for each in pixels])
    assert model.predict(pixels) == model.predict_many(pixels) == expected
    assert model.predict(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255) == expected
    assert model.predict_many(iter(pixels)) == model.predict_many([pixels[:2], [pixels[2]]]) == expected
    assert resnets.predict(model, pixels) == resnets.predict(model, (each for each in pixels)) == expected
    mixed = resnets.predict(model, [str(file), file], pixels[:1])
    assert mixed == model.predict_many([file, file, Image.fromarray(pixels[0])])
    assert resnets.predict(model, []) == []
    assert torch.equal(model.probabilities(pixels), model.probabilities(list(pixels)))
    assert model.probabilities(file).shape == (1, 7)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.zeros((4, 9, 4), np.uint8),
            r"image 0 has the shape \(4, 9, 4\), which may be .* or .*: give Image.fromarray",
        ),
        (np.zeros((9, 8, 7), np.uint8), r"\(9, 8, 7\): an image is .* Several grey images are \(N, height, width, 1\)"),
        (np.zeros((0, 8), np.uint8), "holds no pixels"),
        (np.full((9, 9), 2.5, np.float32), "image 0 has floats from 2.5 to 2.5: floats are from 0 to 1"),
        (np.full((9, 9), np.nan), "floats from nan to nan"),
        (np.full((9, 9), -0.1), "from -0.1 to -0.1"),
        (np.zeros((9, 9), np.int64), r"numbers of int64: give uint8 .*astype\(numpy.uint8\)"),
    ],
)
def test_what_would_have_to_be_guessed_is_refused_with_a_way_out(model: Model, array: Any, message: str) -> None:
    with pytest.raises(PredictionError, match=message):
        model.predict(array)
    with pytest.raises(DataError, match=message):
        model.probabilities([array])


def test_what_is_no_image_is_refused(model: Model, file: Path) -> None:
    refused = ((3, "not int"), (np.float32(3), r"2 or 3 dimensions.*shape \(\)"), (None, "not NoneType"))
    for value, message in refused:
        with pytest.raises(UsageError, match=message):
            model.predict(value)
    with pytest.raises(UsageError, match=r"not dict. Give what is in it, one by one"):
        model.predict({"image": file})
    with pytest.raises(UsageError, match=r"2 or 3 dimensions, and a batch of them 4; this one has the shape \(1, 2, 3"):
        model.predict(np.zeros((1, 2, 3, 4, 5), np.uint8))
    for tensor in (torch.rand(9, 9).to_sparse(), torch.empty(9, 9, device="meta")):
        with pytest.raises(UsageError, match=r"A tensor of torch.float32 is not dense numbers .*: give a dense one"):
            model.predict(tensor)
    with pytest.raises(
        UsageError, match=r"each image is read from this machine's files: .* curl -LO https://a.org/b.png"
    ):
        model.predict("https://a.org/b.png")
    with pytest.raises(PredictionError, match="image 0 has 0 x 5 pixels, which is no image"):
        model.predict(Image.new("RGB", (0, 5)))
    as_text = pytest.raises(UsageError, match=r"is open as text: open it as bytes, open\('.*it.png', 'rb'\)")
    with as_text, file.open(encoding="latin-1") as text:
        model.predict(text)
    with file.open("rb") as closed:
        pass
    with pytest.raises(PredictionError, match=r"it.png cannot be read: .*closed"):
        model.predict(closed)


def test_what_an_iterator_yields_may_be_closed_and_overwritten_afterwards(model: Model, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(9)]
    for number, path in enumerate(paths):
        Image.fromarray(noise(33, 40, seed=number)).save(path)
    expected = model.predict_many(paths)

    def closed(opened: Any) -> Iterator[Any]:
        for path in paths:
            with opened(path) as file:
                yield file

    buffer = np.empty((40, 33, 3), np.uint8)

    def overwritten() -> Iterator[NDArray[np.uint8]]:
        for path in paths:
            buffer[:] = np.asarray(Image.open(path))
            yield buffer

    assert model.predict_many(closed(lambda path: path.open("rb"))) == expected
    assert model.predict_many(closed(Image.open)) == expected
    assert model.predict_many(overwritten()) == expected
    assert model.predict_many(map(torch.from_numpy, overwritten())) == expected


@pytest.mark.slow
@pytest.mark.parametrize("out", [None, "answers.csv"])
def test_images_of_an_iterator_are_not_all_held_in_memory(model: Model, out: str | None, tmp_path: Path) -> None:
    alive: list[weakref.ref[Any]] = []
    most = 0

    def images() -> Iterator[Image.Image]:
        nonlocal most
        for seed in range(300):
            image = Image.fromarray(noise(36, 36, seed=seed))
            alive.append(weakref.ref(image))
            yield image
            del image
            if seed % 20 == 19:
                gc.collect()
                most = max(most, sum(ref() is not None for ref in alive))

    found = resnets.predict(model, images(), workers=2, out=None if out is None else tmp_path / out)
    assert len(found) == 300
    assert most <= 10


def test_inputs_in_memory_are_called_by_their_number(model: Model, file: Path, tmp_path: Path) -> None:
    images = [file, np.asarray(Image.open(file)), b"no image", file.open("rb")]
    with pytest.raises(PredictionError, match="image 2 is not an image") as raised:
        resnets.predict(model, *images, out=tmp_path / "answers.csv")
    assert list(raised.value.failed) == [2]
    rows = (tmp_path / "answers.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [str(file), "image 1", str(file)]
    resnets.predict(model, np.stack([noise(30, 30)] * 2), iter([noise(40, 40)]), out=tmp_path / "folder")
    drawn = {path.name for path in (tmp_path / "folder").iterdir()}
    assert drawn == {"predictions.json", *(f"image {number}.drawn.jpg" for number in range(3))}
