from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from resnets.data.file_table import FileTables
from resnets.data.fingerprint import contents_sha256, names_sha256
from resnets.modalities.base import Subset
from resnets.modalities.image.datasets.digits import digits
from resnets.modalities.image.datasets.folder import read_classes
from tests.conftest import write_tree


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small folder of images."""
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))
    return write_tree(tmp_path / "data", {"cat": 5, "dog": 4})


def sha(root: Path) -> str:
    return contents_sha256(read_classes(root, None, []), FileTables())


def test_a_fingerprint_is_of_names_contents_and_labels_and_not_of_the_place(root: Path) -> None:
    before = sha(root)
    assert sha(shutil.copytree(root, root.parent / "copy")) == before
    swapped = [root / "cat" / "0.png", root / "cat" / "1.png"]
    contents = [path.read_bytes() for path in swapped]
    for path, content in zip(swapped, reversed(contents), strict=True):
        path.write_bytes(content)
    assert sha(root) != before  # though the names are the same
    for path, content in zip(swapped, contents, strict=True):
        path.write_bytes(content)
    assert sha(root) == before
    (root / "cat" / "0.png").rename(root / "cat" / "00.png")
    assert sha(root) != before
    (root / "cat" / "00.png").rename(root / "cat" / "0.png")
    (root / "dog").rename(root / "hen")
    assert sha(root) != before


def test_of_a_large_file_both_ends_and_the_size_count(root: Path) -> None:
    large = root / "cat" / "0.png"
    content = large.read_bytes() + bytes(20_000)
    seen = set()
    for changed in (0, 4095, len(content) - 4096, len(content) - 1, None):
        new = bytearray(content)
        if changed is not None:
            new[changed] ^= 1
        large.write_bytes(new)
        seen.add(sha(root))
    large.write_bytes(content + b"\0")
    assert len(seen | {sha(root)}) == 6


def test_of_a_part_the_fingerprint_is_that_of_its_images(root: Path) -> None:
    dataset = read_classes(root, None, [])
    parts = [Subset(Subset(dataset, np.arange(1, 9)), np.array(which)) for which in ([0, 2], [2, 0], [0, 3])]
    assert len({contents_sha256(part, FileTables()) for part in parts}) == 3
    again = Subset(dataset, np.array([1, 3]))
    assert contents_sha256(again, FileTables()) == contents_sha256(parts[0], FileTables())


def test_images_in_memory_are_known_by_their_pixels() -> None:
    train = digits().train
    before = contents_sha256(train, FileTables())
    assert before == contents_sha256(digits().train, FileTables())
    assert before != contents_sha256(Subset(train, np.arange(10)), FileTables())
    names = names_sha256(train)
    train.pixels[700, 0, 4, 4] ^= 1  # type: ignore[attr-defined]
    assert contents_sha256(train, FileTables()) != before
    assert names_sha256(train) == names
