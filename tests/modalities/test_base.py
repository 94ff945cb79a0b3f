from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnets.core import rng
from resnets.modalities.base import InMemoryDataset, Subset, stratified_split
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


def test_a_subset_is_its_source_renumbered(dataset: InMemoryDataset) -> None:
    subset = Subset(dataset, np.array([4, 0, 2]))
    assert (len(subset), subset.classes, subset.labels.tolist()) == (3, ("cat", "dog"), [1, 0, 0])
    assert [subset.name(i) for i in range(3)] == ["image 104", "image 100", "image 102"]
    np.testing.assert_array_equal(np.asarray(subset.image(0, "RGB")), np.asarray(dataset.image(4, "RGB")))
    deeper = Subset(subset, np.array([2]))
    assert (deeper.name(0), deeper.labels.tolist()) == ("image 102", [0])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.data())
def test_a_stratified_split_gives_each_class_its_share(counts: list[int], data: st.DataObject) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    held_out = data.draw(st.integers(0, len(labels)))
    kept, out = stratified_split(labels, held_out, rng.generator(7, "test"))

    assert sorted([*kept, *out]) == list(range(len(labels)))
    assert kept.tolist() == sorted(kept)
    assert out.tolist() == sorted(out)
    # Largest remainders (Hamilton's method), in exact arithmetic.
    exact = [Fraction(count * held_out, len(labels)) for count in counts]
    expected = [int(share) for share in exact]
    for label in sorted(range(len(counts)), key=lambda c: (int(exact[c]) - exact[c], c))[: held_out - sum(expected)]:
        expected[label] += 1
    assert np.bincount(labels[out], minlength=len(counts)).tolist() == expected


def test_a_split_depends_on_its_generator_alone() -> None:
    labels = np.arange(100) % 3
    splits = [stratified_split(labels, 20, rng.generator(seed, "test"))[1].tolist() for seed in (1, 1, 2)]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]
