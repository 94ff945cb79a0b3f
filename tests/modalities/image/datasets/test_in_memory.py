from __future__ import annotations

import numpy as np
import pytest

from resnets.modalities.image.datasets.in_memory import InMemoryDataset
from resnets.modalities.image.preprocessing import Color
from tests.conftest import channels_first, noise


@pytest.fixture
def dataset() -> InMemoryDataset:
    pixels = np.stack([channels_first(noise(5, 4, seed=seed)) for seed in range(6)])
    return InMemoryDataset(("cat", "dog"), np.array([0, 1, 0, 1, 1, 0]), pixels, numbers=np.arange(100, 106))


@pytest.mark.parametrize("color", ["RGB", "BGR", "L"])
def test_pixels_become_the_image_they_hold(dataset: InMemoryDataset, color: Color) -> None:
    image = dataset.image(2, color)
    colours = dataset.pixels[2].transpose(1, 2, 0)
    if color == "L":
        np.testing.assert_allclose(np.asarray(image), colours @ np.array([0.299, 0.587, 0.114]), atol=1)
    else:
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), colours)


def test_grey_pixels_become_grey_images() -> None:
    dataset = InMemoryDataset(("a",), np.zeros(1, np.int64), noise(5, 4, channels=1)[None, None])
    np.testing.assert_array_equal(np.asarray(dataset.image(0, "L")), dataset.pixels[0, 0])
    np.testing.assert_array_equal(np.asarray(dataset.image(0, "RGB")), np.dstack([dataset.pixels[0, 0]] * 3))
