from __future__ import annotations

import pickle
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from torchvision import datasets

from resnets.core.errors import DataError
from resnets.modalities.catalog import cache_folder, open_dataset
from resnets.modalities.image.base import ImageDataset
from tests.conftest import channels_first, noise, write_tree


@pytest.mark.parametrize(("name", "held_out"), [("digits", 360), ("digits/validation", 287)])
def test_digits_are_known_by_name(name: str, held_out: int) -> None:
    assert len(open_dataset(name).test) == held_out


def test_any_other_name_is_a_folder(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"train/cat": 2, "train/dog": 1, "val/dog": 1})
    assert open_dataset(str(root)).train.classes == ("cat", "dog")


def test_a_name_that_is_neither_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(DataError, match=r"'cifar-10'.*<class>/.*digits, .*cifar10"):
        open_dataset("cifar-10")


def test_downloads_go_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RESNETS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "resnets"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "resnets"
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_offline_cifar_says_where_to_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path))
    # Whatever the network, nobody listens on the discard port.
    for variable, value in (
        ("http_proxy", "http://127.0.0.1:9"),
        ("https_proxy", "http://127.0.0.1:9"),
        ("no_proxy", ""),
    ):
        monkeypatch.setenv(variable, value)
    with pytest.raises(DataError, match="Put torchvision's copy there, or give --data a folder") as caught:
        open_dataset(name)
    assert str(tmp_path) in str(caught.value)
    assert name in str(caught.value)


def test_a_copy_of_cifar10_in_the_cache_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path))
    folder = tmp_path / datasets.CIFAR10.base_folder
    folder.mkdir()
    images = np.stack([channels_first(noise(32, 32, seed=seed)) for seed in range(5)])
    for name, part, labels in (("data_batch_1", images[:3], [2, 0, 1]), ("test_batch", images[3:], [1, 2])):
        (folder / name).write_bytes(pickle.dumps({"data": part.reshape(len(part), -1), "labels": labels}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["plane", "car", "bird"]}))
    # In torchvision's own format; its checksums are of the real files.
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [["data_batch_1", None]])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", None]])
    monkeypatch.setitem(datasets.CIFAR10.meta, "md5", None)

    splits = open_dataset("cifar10")
    assert splits.train.classes == ("plane", "car", "bird")
    assert [part.targets["labels"].tolist() for part in (splits.train, splits.test)] == [[2, 0, 1], [1, 2]]
    np.testing.assert_array_equal(
        channels_first(np.asarray(cast(ImageDataset, splits.test).image(1, "RGB"))), images[4]
    )
    assert splits.test.name(1) == "cifar10 test 1"
