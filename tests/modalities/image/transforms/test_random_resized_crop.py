from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import RandomResizedCrop as TheirCrop
from torchvision.transforms import functional as tv

from resnets.modalities.image.preprocessing import Interpolation, Preprocessing
from resnets.modalities.image.transforms import (
    RandomResizedCrop,
)
from tests.conftest import channels_first, noise
from tests.modalities.image.transforms.samples import LAST_UNIFORM

ANY_NUMBERS = arrays(np.float32, RandomResizedCrop.numbers, elements=st.floats(0, LAST_UNIFORM, width=32))


@settings(max_examples=400, deadline=None)
@given(
    st.tuples(st.integers(1, 400), st.integers(1, 400)),
    st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)),
    ANY_NUMBERS,
)
def test_every_crop_lies_in_its_image(
    size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float], u: NDArray[np.float32]
) -> None:
    transform = RandomResizedCrop(scale=(min(scale), max(scale)), ratio=(min(ratio), max(ratio)))
    left, top, width, height = transform.box(size, u)
    assert min(left, top) >= 0
    assert min(width, height) >= 1
    assert left + width <= size[0]
    assert top + height <= size[1]


@settings(max_examples=200, deadline=None)
@given(ANY_NUMBERS)
def test_a_crop_that_fits_has_the_area_and_shape_of_the_settings(u: NDArray[np.float32]) -> None:
    _, _, width, height = RandomResizedCrop(scale=(0.1, 0.5), ratio=(0.8, 1.5)).box((1000, 1000), u)
    assert 0.099 <= width * height / 1e6 <= 0.501
    assert 0.795 <= width / height <= 1.505


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (300, 300), (640, 200)])
def test_crops_are_spread_like_torchvisions(size: tuple[int, int]) -> None:
    count, transform = 4000, RandomResizedCrop()
    numbers = np.random.default_rng(0).random((count, RandomResizedCrop.numbers), np.float32)
    ours = np.array([transform.box(size, u) for u in numbers])
    torch.manual_seed(0)
    blank = torch.empty(1, size[1], size[0])
    theirs = np.array([TheirCrop.get_params(blank, list(transform.scale), list(transform.ratio)) for _ in range(count)])
    theirs = theirs[:, [1, 0, 3, 2]]  # top, left, height, width

    def moments(boxes: NDArray[Any]) -> NDArray[Any]:
        left, top, width, height = (boxes / [*size, *size]).T
        figures = [width * height, np.log(width / height), left + width / 2, top + height / 2]
        return np.array([[figure.mean(), figure.std()] for figure in figures])

    np.testing.assert_allclose(moments(ours), moments(theirs), atol=0.02)
    np.testing.assert_allclose(np.corrcoef(ours.T), np.corrcoef(theirs.T), atol=0.1)


@pytest.mark.parametrize("size", [(20, 400), (400, 20), (1, 999)])
def test_where_no_crop_fits_the_central_one_is_torchvisions(size: tuple[int, int]) -> None:
    transform = RandomResizedCrop(scale=(0.99, 1.0))
    u = np.random.default_rng(0).random(RandomResizedCrop.numbers, np.float32)
    top, left, height, width = TheirCrop.get_params(
        torch.empty(1, size[1], size[0]), list(transform.scale), list(transform.ratio)
    )
    assert transform.box(size, u) == (left, top, width, height)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("how", ["nearest", "bilinear", "bicubic"])
def test_a_crop_is_resized_as_torchvision_does(how: Interpolation, antialias: bool) -> None:
    # Evaluation reads the same description: filters that differ between the two cost accuracy without a word.
    saved, transform = noise(90, 70), RandomResizedCrop(scale=(0.3, 1.0))
    u = np.random.default_rng(3).random(RandomResizedCrop.numbers, np.float32)
    left, top, width, height = transform.box((90, 70), u)
    p = Preprocessing(resize=30, crop=24, interpolation=how, antialias=antialias)
    ours = np.asarray(transform(Image.fromarray(saved), u, p))
    dataset = Image.fromarray(saved) if antialias else torch.tensor(channels_first(saved)).float()
    theirs = tv.resized_crop(dataset, top, left, height, width, [24, 24], InterpolationMode(how), antialias=antialias)
    if isinstance(theirs, Tensor):
        theirs = theirs.round().clamp(0, 255).permute(1, 2, 0)
    np.testing.assert_array_equal(ours, np.asarray(theirs))


@pytest.mark.parametrize(("number", "filter"), [(0.4, "bilinear"), (0.6, "bicubic")])
def test_a_random_filter_is_bilinear_or_bicubic(number: float, filter: Interpolation) -> None:
    u = np.random.default_rng(3).random(RandomResizedCrop.numbers, np.float32)
    u[19] = number
    image, pixels = Image.fromarray(noise(60, 50)), torch.from_numpy(channels_first(noise(60, 50)))
    random = RandomResizedCrop(interpolation="random")
    settings, same = (Preprocessing(resize=40, crop=32, interpolation=how) for how in ("nearest", filter))
    assert random(image, u, settings).tobytes() == RandomResizedCrop()(image, u, same).tobytes()
    assert random.takes_pixels(settings)
    assert torch.equal(random.crop_pixels(pixels, u, settings), RandomResizedCrop().crop_pixels(pixels, u, same))
