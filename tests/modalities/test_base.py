from __future__ import annotations

import numpy as np
import pytest

from resnets.modalities.base import Subset
from resnets.modalities.image.datasets.in_memory import InMemoryDataset
from tests.conftest import channels_first, noise


@pytest.fixture
def dataset() -> InMemoryDataset:
    pixels = np.stack([channels_first(noise(5, 4, seed=seed)) for seed in range(6)])
    return InMemoryDataset(("cat", "dog"), np.array([0, 1, 0, 1, 1, 0]), pixels, numbers=np.arange(100, 106))


def test_a_subset_is_its_dataset_renumbered(dataset: InMemoryDataset) -> None:
    subset = Subset(dataset, np.array([4, 0, 2]))
    assert (len(subset), subset.classes, subset.targets["labels"].tolist()) == (3, ("cat", "dog"), [1, 0, 0])
    assert [subset.name(i) for i in range(3)] == ["image 104", "image 100", "image 102"]
    np.testing.assert_array_equal(np.asarray(subset.image(0, "RGB")), np.asarray(dataset.image(4, "RGB")))
    deeper = Subset(subset, np.array([2]))
    assert (deeper.name(0), deeper.targets["labels"].tolist()) == ("image 102", [0])
