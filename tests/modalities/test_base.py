from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from resnets.modalities.base import Subset, whole
from resnets.modalities.image.datasets.folder import read_classes
from resnets.modalities.image.datasets.in_memory import InMemoryDataset
from tests.conftest import channels_first, noise, write_tree


@pytest.fixture
def dataset() -> InMemoryDataset:
    pixels = np.stack([channels_first(noise(5, 4, seed=seed)) for seed in range(6)])
    return InMemoryDataset(("cat", "dog"), np.array([0, 1, 0, 1, 1, 0]), pixels, numbers=np.arange(100, 106))


def test_a_subset_is_its_dataset_renumbered(dataset: InMemoryDataset) -> None:
    subset = Subset(dataset, np.array([4, 0, 2]))
    assert (len(subset), subset.classes, subset.targets["labels"].tolist()) == (3, ("cat", "dog"), [1, 0, 0])
    assert [subset.name(i) for i in range(3)] == ["image 104", "image 100", "image 102"]
    np.testing.assert_array_equal(np.asarray(subset.image(0, "RGB")), np.asarray(dataset.image(4, "RGB")))
    assert [subset.target(i) for i in range(3)] == [{"labels": 1}, {"labels": 0}, {"labels": 0}]
    assert subset.strata.tolist() == [1, 0, 0]
    assert (subset.modality, subset.task, subset.on_disk) == ("image", "classification", ())
    assert [subset.key(i) for i in range(3)] == [dataset.key(i) for i in (4, 0, 2)]
    assert [subset.fingerprint(i) for i in range(3)] == [dataset.fingerprint(i) for i in (4, 0, 2)]
    assert subset.encoded(0) is None
    deeper = Subset(subset, np.array([2]))
    assert (deeper.name(0), deeper.targets["labels"].tolist()) == ("image 102", [0])


def test_a_subset_of_a_subset_leads_to_the_sample_itself(dataset: InMemoryDataset) -> None:
    deeper = Subset(Subset(dataset, np.array([4, 0, 2])), np.array([2, 1]))
    assert [whole(deeper, i) for i in range(2)] == [(dataset, 2), (dataset, 0)]
    assert whole(dataset, 3) == (dataset, 3)


def test_a_subset_of_files_has_its_own_files_alone(tmp_path: Path) -> None:
    files = read_classes(write_tree(tmp_path, {"cat": 3, "dog": 2}), None, [])
    subset = Subset(files, np.array([4, 1]))
    (on_disk,) = subset.on_disk
    assert [on_disk.root / on_disk.names[i].decode() for i in range(2)] == [files.path(4), files.path(1)]
    assert len(on_disk.names) == 2
    assert subset.encoded(0) == files.path(4).read_bytes()
    assert subset.key(1) == files.key(1)
