"""Transparent images and 16-bit ones of 12 bits: counted in the notes; a background where one is set."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from resnets.core.config import decode, encode, override
from resnets.core.errors import UsageError
from resnets.data.loader import Batches
from resnets.data.sampler import EpochSampler
from resnets.data.scan import scan
from resnets.evaluation.predictor import NetworkPredictor
from resnets.modalities.image.datasets.folder import read_classes
from resnets.modalities.image.preprocessing import Background, Preprocessing
from resnets.modalities.image.read.pillow import open_image
from resnets.modalities.image.remarks import remarks
from resnets.modalities.image.transforms import Augmentations, RandomResizedCrop
from resnets.modalities.inputs import open_reader
from resnets.recipes.catalog import find
from resnets.tasks.classification.task import Classification
from resnets.training.prepare import resolve
from tests.conftest import noise

COLORS = noise(30, 20)
ALPHA = noise(30, 20, 1, seed=1)
BACKGROUND = (10, 200, 90)


def file_of(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def palette(clear: int | bytes | None) -> bytes:
    image = Image.fromarray(COLORS).quantize(16)
    options: dict[str, Any] = {} if clear is None else {"transparency": clear}
    return file_of(image, **options)


CLEAR = np.dstack([COLORS, ALPHA])
SOLID = np.dstack([COLORS, np.full_like(ALPHA, 255)])
CASES = {
    "RGB": (file_of(Image.fromarray(COLORS)), ()),
    "RGBA": (file_of(Image.fromarray(CLEAR)), ("transparent",)),
    "RGBA, solid": (file_of(Image.fromarray(SOLID)), ()),
    "RGBA in WebP": (file_of(Image.fromarray(CLEAR), "WEBP", lossless=True), ("transparent",)),
    "grey with alpha": (file_of(Image.fromarray(CLEAR[..., 2:])), ("transparent",)),
    "one clear colour": (file_of(Image.fromarray(COLORS), transparency=tuple(COLORS[0, 0].tolist())), ("transparent",)),
    "a clear colour that no pixel has": (file_of(Image.new("RGB", (9, 9)), transparency=(9, 9, 9)), ()),
    "palette": (palette(None), ()),
    "palette with a clear entry": (palette(3), ("transparent",)),
    "palette with alpha, unused": (palette(b"\xff" * 16), ()),
    "palette with alpha": (palette(b"\x80" * 16), ("transparent",)),
    "JPEG": (file_of(Image.fromarray(COLORS), "JPEG"), ()),
    "16 bits": (file_of(Image.fromarray(ALPHA.astype(np.uint16) * 257)), ()),
    "12 bits in 16": (file_of(Image.fromarray(ALPHA.astype(np.uint16) * 16)), ("dark",)),
    "12 bits in TIFF": (file_of(Image.fromarray(ALPHA.astype(np.uint16) * 16), "TIFF"), ("dark",)),
    "12 bits in PGM": (b"P5 30 20 65535\n" + (ALPHA.astype(int) * 16).astype(">u2").tobytes(), ("dark",)),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_odd_about_an_image(case: str) -> None:
    encoded, expected = CASES[case]
    assert remarks(encoded) == expected


def composited(colors: NDArray[Any], alpha: NDArray[Any]) -> NDArray[np.float64]:
    weight = alpha[..., None] / 255.0
    mixed: NDArray[np.float64] = weight * colors + (1 - weight) * np.array(BACKGROUND)
    return mixed


@pytest.mark.parametrize("case", CASES)
def test_the_background_shows_through_transparent_pixels_alone(case: str) -> None:
    encoded, odd = CASES[case]
    plain = np.asarray(open_image(encoded))
    on_color = np.asarray(open_image(encoded, background=BACKGROUND))
    if "transparent" not in odd:
        np.testing.assert_array_equal(on_color, plain)
        return
    alpha = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGBA"))[..., 3]
    np.testing.assert_allclose(on_color, composited(plain, alpha), atol=1)
    grey = np.asarray(open_image(encoded, "L", background=BACKGROUND))
    np.testing.assert_allclose(grey, on_color @ np.array([0.299, 0.587, 0.114]), atol=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of 12 images in each part, 4 are transparent and 2 dark."""
    for part in ("train", "val"):
        for label in "ab":
            (tmp_path / part / label).mkdir(parents=True)
            kinds = ["RGBA", "palette with a clear entry", "12 bits in 16", "RGB", "RGBA, solid", "JPEG"]
            for kind in kinds:
                (tmp_path / part / label / f"{kind}.png").write_bytes(CASES[kind][0])
    return tmp_path


@pytest.mark.parametrize("background", [None, BACKGROUND])
def test_the_data_s_notes_count_them(folder: Path, background: Background | None) -> None:
    recipe = replace(find("paper/cifar"), data=str(folder), normalize="given")
    recipe = replace(recipe, preprocessing=Preprocessing(resize=8, crop=8, background=background))
    notes = resolve(recipe)[1].notes
    for part in ("train", "val"):
        (transparent,) = [note for note in notes if f"4 of 12 {part} images are transparent" in note]
        assert ("preprocessing.background=" in transparent) == (background is None)
        assert ("[10, 200, 90]" in transparent) == (background is not None)
        assert [note for note in notes if f"2 of 12 {part} images have 16 bits" in note]


def test_training_evaluation_scan_and_predict_put_images_on_the_same_background(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(CASES["RGBA"][0])
    dataset = read_classes(tmp_path, None, [])
    p = Preprocessing(resize=20, crop=20, background=BACKGROUND, mean=(0.0,) * 3, std=(1 / 255,) * 3)
    expected = NetworkPredictor(torch.nn.Identity(), Classification(), open_reader(p)).load(dataset, 0).inputs[0]
    levels = composited(COLORS, ALPHA)[:, 5:25].transpose(2, 0, 1)
    np.testing.assert_allclose(expected, levels, atol=1)
    whole = RandomResizedCrop(scale=(1.0, 1.0), ratio=(1.5, 1.5))
    for crop in (None, whole):
        images = Batches(
            dataset,
            sampler=EpochSampler(1, 1, 0),
            reader=open_reader(p, Augmentations(crop=crop)),
            seed=0,
            bn_batch=1,
            device=torch.device("cpu"),
        ).make(0)["inputs"][0]
        if crop is None:
            np.testing.assert_allclose(images, expected, atol=0.01)
        mean = composited(COLORS, ALPHA).mean((0, 1))
        np.testing.assert_allclose(images.mean((1, 2)), mean, atol=6)
    np.testing.assert_array_equal(scan(dataset, open_reader(p), keep=True, statistics=False).prepared, expected[None])


def test_background_is_written_only_where_it_is_set() -> None:
    assert "background" not in encode(Preprocessing())
    p = Preprocessing(background=BACKGROUND)
    assert encode(p)["background"] == list(BACKGROUND)
    assert decode(Preprocessing, encode(p)) == p
    assert override(Preprocessing(), ["background=[10,200,90]"]) == p
    assert override(p, ["background=none"]) == Preprocessing()
    for wrong in ("[1,2]", "[0,0,256]", "[-1,0,0]", "white"):
        with pytest.raises(UsageError, match="background"):
            override(Preprocessing(), [f"background={wrong}"])
