"""CIFAR is fetched once, whole or not at all. No network: torchvision's downloader is replaced."""

from __future__ import annotations

import pickle
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchvision import datasets
from torchvision.datasets import cifar as theirs
from torchvision.datasets import utils

from resnets.core.errors import DataError
from resnets.modalities.image.datasets.cifar import cifar

FOLDER = datasets.CIFAR10.base_folder
FILES = {
    name: pickle.dumps(
        {"data": np.full((200, 3072), number, np.uint8), "labels": [number] * 200, "label_names": ["a", "b"]}
    )
    for number, name in enumerate(("data_batch_1", "test_batch", "batches.meta"))
}


def write_slowly(folder: Path) -> None:
    """As an unpacking archive does, in pieces."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        with open(folder / name, "wb") as file:
            for part in (content[: len(content) // 2], content[len(content) // 2 :]):
                file.write(part)
                file.flush()
                time.sleep(0.02)


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where something was downloaded to."""
    made: list[str] = []

    def fetch(url: str, root: str, *args: Any, **more: Any) -> None:
        made.append(str(root))
        write_slowly(Path(root) / FOLDER)

    monkeypatch.setattr(datasets.CIFAR10, "train_list", [["data_batch_1", None]])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", None]])
    monkeypatch.setitem(datasets.CIFAR10.meta, "md5", None)
    monkeypatch.setattr(theirs, "download_and_extract_archive", fetch)
    return made


def check(splits: Any) -> None:
    assert splits.train.labels.tolist() == [0] * 200
    assert splits.test.labels.tolist() == [1] * 200
    assert (splits.watched, splits.scored) == ("test", "test")


@pytest.mark.parametrize("locks", [True, False])
def test_processes_that_fetch_at_once_all_read_the_whole(
    downloads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    if not locks:
        fcntl = pytest.importorskip("fcntl")

        def refuse(*args: object) -> None:
            raise OSError("no locks available")

        monkeypatch.setattr(fcntl, "flock", refuse)
    root = tmp_path / "cache"
    late = threading.Barrier(3)

    def fetch(number: int) -> Any:
        late.wait()
        time.sleep(0.03 * number)
        return cifar("cifar10", root)

    with ThreadPoolExecutor(3) as pool:
        for splits in pool.map(fetch, range(3)):
            check(splits)
    assert len(downloads) == (1 if locks else 3)
    assert [path.name for path in root.iterdir() if not path.name.endswith(".lock")] == [FOLDER]


def test_what_is_there_is_neither_fetched_nor_written(downloads: list[str], tmp_path: Path) -> None:
    write_slowly(tmp_path / FOLDER)
    check(cifar("cifar10", tmp_path))
    assert not downloads
    assert [path.name for path in tmp_path.iterdir()] == [FOLDER]


def test_a_damaged_copy_is_replaced(downloads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_slowly(tmp_path / FOLDER)
    (tmp_path / FOLDER / "test_batch").unlink()
    check(cifar("cifar10", tmp_path))
    assert len(downloads) == 1


def test_a_download_that_stops_leaves_nothing(
    downloads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(url: str, root: str, *args: Any, **more: Any) -> None:
        (Path(root) / FOLDER).mkdir(parents=True)
        (Path(root) / FOLDER / "data_batch_1").write_bytes(b"half")
        raise OSError("connection reset")

    monkeypatch.setattr(theirs, "download_and_extract_archive", stop)
    with pytest.raises(DataError, match=r"connection reset.*Put torchvision's copy there"):
        cifar("cifar10", tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_an_archive_that_lies_there_is_unpacked(
    downloads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_slowly(tmp_path / "made" / FOLDER)
    archive = tmp_path / "cache" / datasets.CIFAR10.filename
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as file:
        file.add(tmp_path / "made" / FOLDER, FOLDER)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", utils.calculate_md5(str(archive)))
    check(cifar("cifar10", tmp_path / "cache"))
    assert not downloads
