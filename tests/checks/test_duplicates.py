"""The same image twice, and nearly the same: in a split, across splits, under two labels."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import resnets
from resnets.checks import duplicates
from resnets.checks.content import FACT, RECORD, THUMB
from resnets.checks.scan import Contents
from tests.checks.scenes import check, scene, write_scenes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "photos")


@pytest.mark.parametrize(
    ("copy", "expected"),
    [
        ("train/cat/copy.jpg", {("warning", "duplicate")}),
        ("val/cat/copy.jpg", {("error", "split_leak")}),
        ("train/dog/copy.jpg", {("error", "label_conflict")}),
        ("val/dog/copy.jpg", {("error", "split_leak"), ("error", "label_conflict")}),
    ],
)
@pytest.mark.parametrize("fast", [False, True])
def test_a_copy_is_found(root: Path, copy: str, expected: set[tuple[str, str]], fast: bool) -> None:
    shutil.copy(root / "train" / "cat" / "1.jpg", root / copy)
    found = resnets.check(root, fast=fast).problems
    assert {(each.severity, each.kind) for each in found} == expected
    for each in found:
        assert {each.path, *each.related} == {str(root / copy), str(root / "train" / "cat" / "1.jpg")}


def test_three_copies_are_two_problems(root: Path) -> None:
    for name in "ab":
        shutil.copy(root / "train" / "cat" / "1.jpg", root / "train" / "cat" / f"{name}.jpg")
    result = resnets.check(root)
    assert [problem.kind for problem in result.problems] == ["duplicate", "duplicate"]
    assert all(len(problem.related) == 2 for problem in result.problems)


def test_the_same_pixels_in_another_format_are_the_same(root: Path) -> None:
    with Image.open(root / "train" / "cat" / "1.jpg") as image:
        image.save(root / "val" / "cat" / "copy.png")
    assert check(root) == {("error", "split_leak", str(root / "val" / "cat" / "copy.png"))}
    assert check(root, fast=True) == set()  # their bytes differ


def test_all_pixels_are_compared(root: Path) -> None:
    image = scene(50, 800, 600)
    changed = image.copy()
    changed.putpixel((401, 301), (1, 2, 3))  # on no pixel of the grid
    for name, each in (("a", image), ("b", changed), ("c", image)):
        each.save(root / "train" / "cat" / f"{name}.png")
    result = resnets.check(root, skip="odd_size")
    assert [(p.kind, p.path) for p in result.problems] == [
        ("duplicate", str(root / "train" / "cat" / "c.png")), ("near_duplicate", str(root / "train" / "cat" / "b.png")),
    ]  # fmt: skip


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half as large": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC),
    "brighter": lambda image: image.point(lambda level: min(255, level + 12)),
    "grey": lambda image: image.convert("L"),
    "the same": lambda image: image,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("place", ["train/cat", "val/dog"])
def test_nearly_the_same_is_a_warning(root: Path, change: str, place: str) -> None:
    original = root / "train" / "cat" / "large.jpg"
    scene(50, 160, 120).save(original, quality=95)
    copy = root / place / "copy.jpg"
    CHANGES[change](scene(50, 160, 120)).save(copy, quality=60)
    result = resnets.check(root)
    assert {(each.severity, each.kind) for each in result.problems} == {("warning", "near_duplicate")}
    (problem,) = result.problems
    assert {problem.path, *problem.related} == {str(original), str(copy)}
    assert ("of train" in problem.detail, "another label" in problem.detail) == (place == "val/dog",) * 2


def test_other_images_are_not_nearly_the_same(tmp_path: Path) -> None:
    root = write_scenes(tmp_path / "photos", {"cat": 150, "dog": 150})
    assert check(root) == set()


def contents_of(thumbs: NDArray[np.uint8]) -> Contents:
    records = np.zeros(len(thumbs), RECORD)
    records["thumb"], records["width"], records["height"] = thumbs, 200, 100
    records["facts"] = FACT["decoded"]
    return Contents(records)


def test_pairs_are_those_of_a_comparison_of_all_with_all() -> None:
    g = np.random.default_rng(0)
    base = g.integers(0, 256, (40, THUMB, THUMB))
    noisy = [np.clip(base + g.normal(0, spread, base.shape), 0, 255) for spread in (0, 1, 3, 6, 12)]
    thumbs = np.concatenate(noisy).astype(np.uint8)
    hashes = [int.from_bytes(row.tobytes(), "little") for row in duplicates.dhash(thumbs)]
    levels = thumbs.reshape(len(thumbs), -1).astype(np.float64)
    correlation: Any = np.corrcoef(levels)
    everything = {
        (i, j)
        for i in range(len(thumbs))
        for j in range(i + 1, len(thumbs))
        if (hashes[i] ^ hashes[j]).bit_count() <= duplicates.BITS and correlation[i, j] >= duplicates.AGREEMENT
    }
    certain = {(i, j) for i, j in everything if (hashes[i] ^ hashes[j]).bit_count() < 8}  # one of 8 bands is equal
    found = set(duplicates.near_pairs(contents_of(thumbs)))
    assert certain <= found <= everything
    assert len(certain) > 40


def test_the_hash_is_of_the_differences_to_the_right_and_below() -> None:
    rising = np.arange(THUMB, dtype=np.uint8)[None].repeat(THUMB, 0)
    bits = np.unpackbits(duplicates.dhash(rising[None]).view(np.uint8))
    assert bits.tolist() == [1] * 64 + [0] * 64
    bits = np.unpackbits(duplicates.dhash(np.ascontiguousarray(rising.T)[None]).view(np.uint8))
    assert bits.tolist() == [0] * 64 + [1] * 64


def test_many_images_with_one_hash_take_time_in_proportion() -> None:
    flat = np.full((5000, THUMB, THUMB), 50, np.uint8)
    flat[:, 4, 4] = 255
    pairs = duplicates.near_pairs(contents_of(flat))
    assert len(pairs) <= 5000 * duplicates._AHEAD
