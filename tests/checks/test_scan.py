"""Reading: every file once, the second time what changed alone; and faults of the program, which are no clean bill."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resnets
from resnets.checks import content, scan
from resnets.checks.catalog import CHECKS, Check
from resnets.checks.content import VERSION
from resnets.checks.inventory import from_splits
from resnets.modalities.base import DatasetSplits
from resnets.modalities.image.datasets.in_memory import InMemoryDataset
from tests.checks.scenes import check, scene, write_scenes
from tests.command_line import call
from tests.conftest import truncate


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RESNETS_SCAN_CACHE", raising=False)
    monkeypatch.setattr(scan, "CACHED_FROM", 1)
    return write_scenes(tmp_path / "photos")


def test_the_second_check_reads_what_changed_alone(root: Path) -> None:
    assert resnets.check(root).contents.read == 12
    assert resnets.check(root).contents.read == 0
    scene(99).save(root / "train" / "cat" / "1.jpg")
    scene(98).save(root / "train" / "cat" / "new.jpg")
    (root / "val" / "dog" / "0.jpg").unlink()
    result = resnets.check(root)
    assert (result.contents.read, dict(result.samples)) == (2, {"train": 9, "val": 3})
    assert result.problems == ()


def test_what_the_cache_has_gives_the_same_problems(root: Path) -> None:
    for name, seed in (("a", 50), ("b", 50), ("c", 51)):
        scene(seed).save(root / "train" / "cat" / f"{name}.png")
    scene(51).convert("P").save(root / "val" / "cat" / "c.png")
    first = resnets.check(root)
    assert first.problems
    again = resnets.check(root)
    assert (again.contents.read, again.problems) == (0, first.problems)


def test_damaged_files_are_read_again(root: Path) -> None:
    truncate(root / "train" / "cat" / "1.jpg")
    first = check(root)
    result = resnets.check(root)
    assert result.contents.read == 1
    assert {(p.severity, p.kind, p.path) for p in result.problems} == first
    assert len(first) == 1


def test_a_file_of_the_same_time_and_size_is_not_opened(root: Path) -> None:
    path = root / "train" / "cat" / "1.jpg"
    resnets.check(root)
    info = path.stat()
    path.write_bytes(bytes(info.st_size))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert check(root) == set()
    os.utime(path)
    assert check(root) == {("error", "unreadable", str(path))}


def test_without_a_cache_everything_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETS_SCAN_CACHE", "off")
    assert [resnets.check(root).contents.read for _ in range(2)] == [12, 12]


def test_another_version_of_the_check_reads_everything(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resnets.check(root)
    monkeypatch.setattr(scan, "VERSION", VERSION + 1)
    assert resnets.check(root).contents.read == 12


def test_a_damaged_cache_counts_as_none(root: Path, tmp_path: Path) -> None:
    resnets.check(root)
    (file,) = (tmp_path / "cache" / "scans").iterdir()
    file.write_bytes(b"no cache")
    assert resnets.check(root).contents.read == 12


def test_the_number_of_threads_changes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETS_SCAN_CACHE", "off")
    truncate(root / "train" / "cat" / "1.jpg")
    scene(50).save(root / "train" / "cat" / "a.png")
    scene(50).save(root / "val" / "cat" / "a.png")
    assert resnets.check(root, workers=1).problems == resnets.check(root, workers=5).problems


@dataclass(frozen=True)
class Shard(InMemoryDataset):
    """Images whose files are not on the disk by themselves."""

    files: tuple[bytes, ...] = ()

    def encoded(self, index: int) -> bytes | None:
        return self.files[index]


def test_samples_of_a_shard_are_decoded_from_their_bytes(tmp_path: Path) -> None:
    paths = sorted((write_scenes(tmp_path / "photos") / "train" / "cat").iterdir())
    files = [path.read_bytes() for path in paths]
    files[1], files[2] = files[1][: len(files[1]) // 2], b""
    pixels = np.zeros((4, 3, 48, 64), np.uint8)
    shard = Shard(("cat",), np.zeros(4, np.int64), pixels, files=tuple(files))
    found = scan.scan(from_splits("shard.tar", DatasetSplits({"all": shard})), threads=2)
    assert [(each.kind, each.path) for each in found.problems] == [
        ("truncated", "image 1"), ("empty_file", "image 2"),
    ]  # fmt: skip
    assert found.has("decoded").tolist() == [True, False, False, True]


def fails(*_: Any) -> Any:
    raise ZeroDivisionError("of the check")


@pytest.mark.parametrize("flags", [[], ["--only", "imbalance"], ["--skip", "check_failed"]])
def test_a_check_that_fails_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]) -> None:
    monkeypatch.setitem(CHECKS, "imbalance", Check(frozenset({"imbalance"}), fails))
    result = call("check", root, "--json", *flags)
    assert result.code == 1
    (problem,) = result.json["problems"]
    assert (problem["kind"], problem["severity"], problem["path"]) == ("check_failed", "error", str(root))
    assert "ZeroDivisionError" in problem["detail"]
    assert call("check", root, "--skip", "imbalance").code == 0


def test_a_fault_while_a_file_is_read_is_an_error_of_that_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, path = content.examine_file, root / "train" / "cat" / "1.jpg"
    monkeypatch.setattr(scan, "examine_file", lambda p, *a, **k: fails() if p == str(path) else original(p, *a, **k))
    assert check(root) == {("error", "check_failed", str(path))}
