"""`resnets.check` of arrays and Datasets, as `resnets.train` takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import resnets
from tests.checks.scenes import scene


def scenes(*seeds: int) -> np.ndarray:
    return np.stack([np.asarray(scene(seed)) for seed in seeds])


def test_arrays_by_split(tmp_path: Path) -> None:
    train, val = scenes(0, 1, 2, 3, 4, 4), scenes(5, 6, 1)
    train[3] = 200
    data = {"train": (train, ["cat", "cat", "cat", "dog", "dog", "dog"]), "val": (val, ["cat", "dog", "dog"])}
    result = resnets.check(data, out=tmp_path / "out")
    assert {(each.severity, each.kind, each.path) for each in result.problems} == {
        ("error", "split_leak", "val image 2"),
        ("error", "label_conflict", "val image 2"),
        ("warning", "constant", "train image 3"),
        ("warning", "duplicate", "train image 5"),
    }
    assert (dict(result.samples), dict(result.classes)) == ({"train": 6, "val": 3}, {"cat": 4, "dog": 5})
    assert "train image 3" in (tmp_path / "out" / "check.html").read_text()


def test_a_dataset_of_torch() -> None:
    images = torch.from_numpy(scenes(*range(8))).permute(0, 3, 1, 2)
    result = resnets.check(torch.utils.data.TensorDataset(images, torch.arange(8) % 2))
    assert (result.problems, dict(result.samples), result.format) == ((), {"all": 8}, "")
    few = resnets.check(torch.utils.data.TensorDataset(images[:3], torch.tensor([0, 0, 1])))
    assert [each.kind for each in few.problems] == ["small_class"]


def test_what_is_no_data_is_refused_with_the_sample() -> None:
    with pytest.raises(resnets.UsageError, match="6 images and 5 labels"):
        resnets.check((scenes(*range(6)), [0] * 5))
    with pytest.raises(resnets.DataError, match="image 1 has the label None"):
        resnets.check([(scene(0), 0), (scene(1), None)])
    with pytest.raises(resnets.UsageError, match="not int"):
        resnets.check(3)
