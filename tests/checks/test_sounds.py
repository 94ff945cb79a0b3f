"""Faults of recordings."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import resnets
from tests.checks.scenes import check
from tests.conftest import truncate

soundfile = pytest.importorskip("soundfile")


def record(path: Path, seed: int, seconds: float = 0.5, level: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = level * np.random.default_rng(seed).standard_normal(int(8000 * seconds))
    soundfile.write(path, np.clip(samples, -1, 1), 8000)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for seed, (split, name, number) in enumerate(
        (s, n, i) for s in ("train", "val") for n in ("no", "yes") for i in range(3)
    ):
        record(tmp_path / "words" / split / name / f"{number}.wav", seed)
    return tmp_path / "words"


def test_in_clean_recordings_nothing_is_wrong(root: Path) -> None:
    result = resnets.check(root)
    assert (result.problems, dict(result.samples)) == ((), {"train": 6, "val": 6})
    assert check(root, fast=True) == set()


PLANTS: list[tuple[str, str, Callable[[Path], object]]] = [
    ("error", "truncated", truncate),
    ("error", "empty_file", lambda path: path.write_bytes(b"")),
    ("error", "unreadable", lambda path: path.write_bytes(b"no recording")),
    ("warning", "constant", lambda path: record(path, 0, level=0.0)),
    ("warning", "odd_size", lambda path: record(path, 99, seconds=0.01)),
    ("warning", "odd_size", lambda path: record(path, 99, seconds=9)),
]


@pytest.mark.parametrize(("severity", "kind", "plant"), PLANTS)
def test_a_fault_is_found_by_its_path(root: Path, severity: str, kind: str, plant: Callable[[Path], object]) -> None:
    path = root / "train" / "no" / "1.wav"
    plant(path)
    assert check(root) == {(severity, kind, str(path))}


def test_the_same_recording_in_two_splits_and_formats(root: Path) -> None:
    shutil.copy(root / "train" / "no" / "1.wav", root / "val" / "no" / "copy.wav")
    values, rate = soundfile.read(root / "train" / "no" / "2.wav", dtype="int16")
    soundfile.write(root / "train" / "yes" / "copy.flac", values, rate)
    assert check(root) == {
        ("error", "split_leak", str(root / "val" / "no" / "copy.wav")),
        ("error", "label_conflict", str(root / "train" / "yes" / "copy.flac")),
    }


def test_an_image_among_recordings_is_an_error(root: Path) -> None:
    (root / "train" / "no" / "1.png").write_bytes(b"")
    assert check(root) == {("error", "not_an_image", str(root / "train" / "no" / "1.png"))}
