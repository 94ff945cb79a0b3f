from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision import transforms

import resnets.data.scan as module
from resnets.data.scan import DatasetScan, scan
from resnets.modalities.base import Dataset
from resnets.modalities.image.datasets.folder import read_classes
from resnets.modalities.image.datasets.in_memory import InMemoryDataset
from resnets.modalities.image.preprocessing import Color, Normalize, Preprocessing
from resnets.modalities.image.read.pillow import Pixels
from resnets.modalities.image.transforms.normalize import normalize
from resnets.modalities.inputs import open_reader
from tests.conftest import truncate, write_tree

SMALL = Preprocessing(resize=16, crop=12)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tree(tmp_path, {"cat": 5, "dog": 4})


def prepared(dataset: Dataset, color: Color = "RGB") -> Pixels:
    """All images of `dataset`, made ready by torchvision."""
    chain = transforms.Compose([transforms.Resize(16), transforms.CenterCrop(12), transforms.PILToTensor()])
    mode = "L" if color == "L" else "RGB"
    images: list[Pixels] = [chain(Image.open(dataset.name(i)).convert(mode)).numpy() for i in range(len(dataset))]
    return np.stack([image[::-1] if color == "BGR" else image for image in images])


def check_statistics(found: DatasetScan, pixels: Pixels) -> None:
    assert found.mean is not None
    assert found.std is not None
    np.testing.assert_allclose(found.mean, pixels.mean(0) / 255, rtol=1e-6)
    np.testing.assert_allclose(found.std, pixels.std((0, 2, 3)) / 255, rtol=1e-9)


@pytest.mark.parametrize("color", ["RGB", "BGR", "L"])
def test_pixels_and_statistics_are_those_of_the_prepared_images(folder: Path, color: Color) -> None:
    unit = (0.5,) * (1 if color == "L" else 3)
    dataset = read_classes(folder, None, [])
    found = scan(
        dataset,
        open_reader(Preprocessing(resize=16, crop=12, color=color, mean=unit, std=unit)),
        keep=True,
        statistics=True,
    )
    expected = prepared(dataset, color)
    assert found.damaged == {}
    np.testing.assert_array_equal(found.prepared, expected)
    check_statistics(found, expected)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("statistics", [True, False])
def test_every_damaged_image_is_found_and_named(folder: Path, keep: bool, statistics: bool) -> None:
    truncate(folder / "cat" / "3.png")
    (folder / "dog" / "0.png").write_bytes(b"no image")
    dataset = read_classes(folder, None, [])
    found = scan(dataset, open_reader(SMALL), keep=keep, statistics=statistics)
    assert list(found.damaged) == [3, 5]
    assert str(folder / "cat" / "3.png") in found.damaged[3]
    assert str(folder / "dog" / "0.png") in found.damaged[5]


def test_an_image_too_narrow_to_resize_counts_as_damaged_and_is_named(folder: Path) -> None:
    Image.new("L", (1, 50_000)).save(folder / "cat" / "hair.png")
    found = scan(read_classes(folder, None, []), open_reader(Preprocessing()), keep=False, statistics=True)
    assert [str(folder / "cat" / "hair.png") in message for message in found.damaged.values()] == [True]


def test_damaged_images_are_left_out_of_the_statistics(folder: Path) -> None:
    dataset = read_classes(folder, None, [])
    whole = np.delete(prepared(dataset), 3, 0)
    truncate(folder / "cat" / "3.png")
    found = scan(dataset, open_reader(SMALL), keep=True, statistics=True)
    check_statistics(found, whole)
    assert found.prepared is not None
    np.testing.assert_array_equal(np.delete(found.prepared, 3, 0), whole)


@pytest.mark.parametrize(("limit", "kept"), [(9 * 3 * 12 * 12, True), (9 * 3 * 12 * 12 - 1, False)])
def test_pixels_are_kept_only_while_they_fit(
    folder: Path, monkeypatch: pytest.MonkeyPatch, limit: int, kept: bool
) -> None:
    monkeypatch.setattr(module, "RESIDENT_BYTES", limit)
    found = scan(read_classes(folder, None, []), open_reader(SMALL), keep=True, statistics=False)
    assert (found.prepared is not None) == kept
    assert (found.mean, found.std) == (None, None)


def flat(level: int) -> DatasetScan:
    dataset = InMemoryDataset(("a",), np.zeros(7, np.int64), np.full((7, 3, 12, 12), level, np.uint8))
    return scan(dataset, open_reader(SMALL), keep=False, statistics=True)


@pytest.mark.parametrize("level", range(0, 256, 15))
def test_images_of_one_flat_colour_can_still_be_normalised(level: int) -> None:
    p = normalized(SMALL, "channels", flat(level))
    images = normalize(torch.full((1, 3, 12, 12), level, dtype=torch.uint8), p)
    assert images.isfinite().all()
    assert images.abs().max() < 1


def normalized(p: Preprocessing, how: Normalize, found: DatasetScan) -> Preprocessing:
    assert found.mean is not None
    assert found.std is not None
    return p.with_statistics(how, found.mean, found.std)


@pytest.fixture
def found(folder: Path) -> DatasetScan:
    return scan(read_classes(folder, None, []), open_reader(SMALL), keep=True, statistics=True)


def fed(found: DatasetScan, preprocessing: Preprocessing) -> NDArray[np.float64]:
    """What a network is fed: (N, C, H, W)."""
    return normalize(torch.from_numpy(found.prepared), preprocessing).double().numpy()


def test_normalised_by_channels_the_training_set_has_mean_0_and_std_1(found: DatasetScan) -> None:
    images = fed(found, normalized(SMALL, "channels", found))
    np.testing.assert_allclose(images.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(images.std((0, 2, 3)), 1, atol=1e-6)


def test_normalised_by_the_mean_image_every_pixel_has_mean_0_and_its_own_spread(found: DatasetScan) -> None:
    images = fed(found, normalized(SMALL, "mean image", found))
    assert found.prepared is not None
    np.testing.assert_allclose(images.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(images.std(0), found.prepared.std(0) / 255, atol=1e-6)


def test_a_mean_image_gives_way_to_channels(found: DatasetScan) -> None:
    by_image = normalized(SMALL, "mean image", found)
    assert normalized(by_image, "channels", found) == normalized(SMALL, "channels", found)
