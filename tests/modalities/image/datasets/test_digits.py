from __future__ import annotations

import importlib.util
from typing import Any, cast

import numpy as np
import pytest
from sklearn.datasets import load_digits

from resnets.modalities.image.base import ImageDataset
from resnets.modalities.image.datasets.digits import digits
from resnets.modalities.image.datasets.in_memory import InMemoryDataset

# The split is part of every figure measured on it, so it must never change.
FIRST_TEST = [6, 13, 19, 20, 25, 38, 43, 65]
FIRST_TUNING = [0, 7, 12, 22, 36, 37, 42, 49]


def numbers(dataset: object) -> list[int]:
    assert isinstance(dataset, InMemoryDataset)
    assert dataset.numbers is not None
    return [int(number) for number in dataset.numbers]


@pytest.mark.parametrize(("validation", "sizes"), [(False, (1437, 360)), (True, (1150, 287))])
def test_the_parts_are_disjoint_and_stratified(validation: bool, sizes: tuple[int, int]) -> None:
    splits = digits(validation=validation)
    assert (len(splits.train), len(splits.test)) == sizes
    assert not set(numbers(splits.train)) & set(numbers(splits.test))
    train, test = (np.bincount(part.targets["labels"], minlength=10) for part in (splits.train, splits.test))
    assert np.abs(test - (train + test) * sizes[1] / sum(sizes)).max() < 1


def test_tuning_never_sees_the_test_digits() -> None:
    final, tuning = digits(), digits(validation=True)
    assert sorted(numbers(tuning.train) + numbers(tuning.test)) == numbers(final.train)
    assert sorted(numbers(final.train) + numbers(final.test)) == list(range(1797))


def test_the_split_is_the_one_that_figures_were_measured_on() -> None:
    assert numbers(digits().test)[:8] == FIRST_TEST
    assert numbers(digits(validation=True).test)[:8] == FIRST_TUNING


@pytest.mark.parametrize("part", ["train", "test"])
def test_pixels_and_labels_are_scikit_learns(part: str) -> None:
    dataset: InMemoryDataset = getattr(digits(), part)
    theirs: Any = load_digits()
    np.testing.assert_array_equal(dataset.pixels[:, 0], np.rint(theirs.images[numbers(dataset)] / 16 * 255))
    np.testing.assert_array_equal(dataset.labels, theirs.target[numbers(dataset)])
    assert dataset.classes == tuple(str(name) for name in theirs.target_names)


def test_a_digit_is_grey_and_called_by_its_number_in_scikit_learn() -> None:
    splits = digits()
    assert splits.color == "L"
    assert cast(ImageDataset, splits.train).image(0, "L").size == (8, 8)
    assert splits.test.name(0) == f"digit {FIRST_TEST[0]}"


def test_without_scikit_learns_file_its_loader_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = digits().train
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    found = digits().train
    assert isinstance(found, InMemoryDataset)
    assert isinstance(expected, InMemoryDataset)
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    np.testing.assert_array_equal(found.labels, expected.labels)
