"""JPEGs by torchvision's operator: Pillow's pixels, or left to Pillow."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from resnets.core.config import decode, encode
from resnets.core.errors import DataError
from resnets.data.loader import Batches
from resnets.data.sampler import EpochSampler
from resnets.modalities.image.datasets.folder import open_folder
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.read import jpeg
from resnets.modalities.image.read.pillow import open_image
from resnets.modalities.image.reader import ImageReader
from resnets.modalities.image.transforms import Augmentations, Flip, RandomResizedCrop
from resnets.modalities.inputs import open_reader
from resnets.training.environment import Environment, choose
from tests.artifacts.test_model import photo
from tests.conftest import SHARED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(8):
        path = tmp_path / "train" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(120 + 9 * number, 90, seed=number).save(path, quality=85)
    return tmp_path


def test_the_operator_is_here() -> None:
    assert jpeg._has_operator()
    assert jpeg.decoder() == "torchvision"


@pytest.mark.parametrize("name", ["image.so", "image_stable.so", "image.pyd"])  # to 0.28, since 0.29, on Windows
def test_the_operator_is_found_by_any_name_that_torchvision_gave_its_file(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []
    for file in ("__init__.py", name, "image_notes.txt", "_C.so"):
        (tmp_path / file).touch()
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    monkeypatch.setattr(torch.ops, "load_library", loaded.append)
    jpeg._has_operator.__wrapped__()
    assert loaded == [tmp_path / name]


def test_a_library_of_another_torch_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in ("__init__.py", "image.so"):
        (tmp_path / file).touch()
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    monkeypatch.setattr(torch, "ops", SimpleNamespace(load_library=torch.ops.load_library, image=None))
    assert not jpeg._has_operator.__wrapped__()


def test_without_the_operator_batches_are_the_same_bit_for_bit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    photo(60, 80, seed=9).save(folder / "train" / "a" / "turned.jpg", exif=turned)
    photo(60, 80, seed=8).convert("L").save(folder / "train" / "b" / "grey.jpg")
    photo(60, 80, seed=7).convert("CMYK").save(folder / "train" / "b" / "ink.jpg")
    photo(60, 80, seed=6).save(folder / "train" / "b" / "other.png")

    def batch() -> torch.Tensor:
        dataset = open_folder(folder).train
        batches = Batches(
            dataset,
            sampler=EpochSampler(len(dataset), len(dataset), 0),
            reader=open_reader(Preprocessing(resize=64, crop=64), Augmentations(crop=RandomResizedCrop())),
            seed=3,
            bn_batch=len(dataset),
            device=torch.device("cpu"),
        )
        return batches.make(0)["inputs"]

    with_operator = batch()
    monkeypatch.setattr(jpeg, "_has_operator", lambda: False)
    assert jpeg.decoder() == "Pillow"
    assert with_operator.equal(batch())


def test_the_decoder_is_recorded_and_a_change_is_listed() -> None:
    here = choose("cpu")
    assert here.jpeg_decoder == "torchvision"
    assert here.changes(replace(here, jpeg_decoder="Pillow")) == ["jpeg_decoder torchvision is now Pillow"]
    before = {name: value for name, value in encode(here).items() if name != "jpeg_decoder"}
    old = decode(Environment, before)  # of a version that recorded none
    assert old.jpeg_decoder is None
    assert old.changes(here) == []


# Their data is corrupt: the libjpeg of torchvision 0.26 fills in other pixels than Pillow's, that of 0.28 the same.
CORRUPT = {"8e5e74dbf9b68a322fbb9512db837329.jpg", "subtract-with-overflow.jpg"}


@pytest.mark.parametrize("part", ["odd/jpeg", "odd/exif", "photos"])
def test_pixels_are_pillows_or_none(part: str) -> None:
    old = tuple(map(int, importlib.metadata.version("torchvision").split(".")[:2])) < (0, 28)
    if not (SHARED / part).exists():
        pytest.skip(f"{SHARED / part} is absent")
    decoded = 0
    for path in sorted(p for p in (SHARED / part).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))[:120]:
        pixels = jpeg.decode(path.read_bytes())
        try:
            expected = np.asarray(open_image(path))
        except DataError:
            assert pixels is None, path
            continue
        decoded += pixels is not None
        if pixels is not None and not (old and path.name in CORRUPT):
            np.testing.assert_array_equal(pixels.permute(1, 2, 0).numpy(), expected, err_msg=str(path))
    assert decoded >= 18


def test_files_that_pillow_decodes_differently_are_left_to_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = next(folder.rglob("*.jpg")).read_bytes()
    assert jpeg.decode(data) is not None
    assert jpeg.decode(data[: len(data) // 2]) is None
    assert jpeg.decode(data[:200] + b"\xff\xd9") is None
    assert jpeg.decode(b"\xff\xd8 and nothing \xff\xd9") is None
    assert jpeg.decode(b"GIF89a") is None
    monkeypatch.setattr(jpeg, "MAX_PIXELS", 100)
    assert jpeg.decode(data) is None


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_training_crops_are_nearly_pillows(folder: Path, interpolation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def batch() -> torch.Tensor:
        dataset = open_folder(folder).train
        p = Preprocessing(resize=64, crop=64, interpolation=interpolation)  # type: ignore[arg-type]
        augmentations = Augmentations(crop=RandomResizedCrop())
        batches = Batches(
            dataset,
            sampler=EpochSampler(len(dataset), 4, 0),
            reader=open_reader(p, augmentations),
            seed=3,
            bn_batch=4,
            device=torch.device("cpu"),
        )
        return batches.make(0)["inputs"] * torch.tensor(p.std)[:, None, None] * 255

    ours = batch()
    monkeypatch.setattr(jpeg, "decode", lambda data: None)
    assert 0 < float((ours - batch()).abs().max()) < 2.01


def test_a_crop_of_the_right_size_is_not_resized(folder: Path) -> None:
    path = next(folder.rglob("*.jpg"))
    pixels = jpeg.decode(path.read_bytes())
    assert pixels is not None
    whole = RandomResizedCrop(scale=(1.0, 1.0), ratio=(1.0, 1.0))
    square = pixels[:, :90, :90]
    u = np.zeros(RandomResizedCrop.numbers, np.float32)
    cut = whole.crop_pixels(square, u, Preprocessing(resize=90, crop=90))
    assert cut.equal(square)
    assert Image.open(path).size[1] == 90


def test_images_finished_where_they_are_decoded_are_those_finished_by_the_batch(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_folder(folder).train
    augmentations = Augmentations(crop=RandomResizedCrop(), transforms=(Flip(), Flip(alternating=True)))

    def batches() -> Batches:
        return Batches(
            dataset,
            sampler=EpochSampler(len(dataset), 4, 0),
            reader=open_reader(Preprocessing(resize=64, crop=64), augmentations),
            seed=3,
            bn_batch=4,
            device=torch.device("cpu"),
            workers=2,
        )

    assert batches()._reader.slots(None)["inputs"].dtype is np.float32
    at_once = [batch["inputs"] for batch in batches().between(0, 6)]
    monkeypatch.setattr(ImageReader, "finishing_early", lambda self: self)  # as on other devices
    by_the_batch = batches()
    assert by_the_batch._reader.slots(None)["inputs"].dtype is np.uint8
    for step, images in enumerate(at_once):
        assert images.equal(by_the_batch.make(step)["inputs"])
