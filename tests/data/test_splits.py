from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnets.core.errors import DataError
from resnets.data.split_settings import VAL_SHARE, SplitSettings
from resnets.data.splits import by_hash, with_watched_split
from resnets.modalities.base import Dataset
from resnets.modalities.catalog import open_dataset
from resnets.modalities.image.datasets.folder import FolderDataset, open_folder
from resnets.modalities.image.datasets.in_memory import InMemoryDataset
from tests.conftest import write_tree


def made(names_of: dict[str, list[str]]) -> InMemoryDataset:
    """A dataset without pixels, with these names in each class."""
    labels = [label for label, names in enumerate(names_of.values()) for _ in names]
    names = tuple(name for names in names_of.values() for name in names)
    pixels = np.zeros((len(names), 1, 1, 1), np.uint8)
    return InMemoryDataset(tuple(names_of), np.array(labels, np.int64), pixels, names=names)


def held_out(dataset: InMemoryDataset) -> set[str]:
    return {dataset.name(int(index)) for index in by_hash(dataset)[1]}


def is_below(name: str) -> bool:
    """By an independent reading of the rule."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) / 2**64 < VAL_SHARE


def test_an_image_is_held_out_where_the_hash_of_its_name_is_below_a_fifth() -> None:
    names = [f"cat/{number}.jpg" for number in range(1000)]
    assert held_out(made({"cat": names})) == {name for name in names if is_below(name)}
    assert 160 < len(held_out(made({"cat": names}))) < 240


def test_the_hash_is_the_same_for_ever() -> None:
    names = [f"cat/{number}.jpg" for number in range(20)]
    assert sorted(held_out(made({"cat": names}))) == GOLDEN


GOLDEN = ["cat/13.jpg", "cat/3.jpg"]


def test_no_image_changes_sides_when_others_come_and_go() -> None:
    names = {name: [f"{name}/{number}.jpg" for number in range(200)] for name in ("cat", "dog", "owl")}
    before = held_out(made(names))
    for seed in range(10):
        g = random.Random(seed)
        after = {name: sorted([*g.sample(files, 150), f"{name}/new{seed}.jpg"]) for name, files in names.items()}
        stayed = {file for files in after.values() for file in files if "new" not in file}
        assert held_out(made(after)) & stayed == before & stayed


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(0, 10**6))
def test_small_classes_have_both_sides_and_single_images_are_trained_on(counts: list[int], salt: int) -> None:
    names = {f"c{n}": [f"c{n}/{salt + i}.jpg" for i in range(count)] for n, count in enumerate(counts)}
    dataset = made(names)
    kept, out = by_hash(dataset)
    assert sorted([*kept, *out]) == list(range(len(dataset)))
    assert kept.tolist() == sorted(kept)
    assert out.tolist() == sorted(out)
    for files in names.values():
        chosen = held_out(dataset) & set(files)
        expected = {name for name in files if is_below(name)}
        by_distance = sorted(files, key=lambda name: hashlib.sha256(name.encode()).digest()[:8])
        if len(files) == 1:
            expected = set()
        elif not expected:
            expected = {by_distance[0]}
        elif len(expected) == len(files):
            expected = set(by_distance[:-1])
        assert chosen == expected


def relative(dataset: Dataset, root: Path) -> list[str]:
    return [os.path.relpath(dataset.name(index), root) for index in range(len(dataset))]


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_without_val_the_same_images_of_each_class_are_always_held_out(tmp_path: Path, prefix: str) -> None:
    counts = {f"{prefix}cat": 20, f"{prefix}dog": 30, f"{prefix}owl": 1}
    first, again = write_tree(tmp_path / "first", counts), write_tree(tmp_path / "again", counts, reverse=True)
    splits = with_watched_split(open_folder(first), str(first))
    train, val = relative(splits.splits["train"], first), relative(splits.splits["val"], first)
    assert splits.watched == "val"
    assert splits.held_out
    same = with_watched_split(open_folder(again), str(again))
    assert (relative(same.train, again), relative(same.test, again)) == (train, val)
    assert (train, val) == (sorted(train), sorted(val))
    assert sorted(train + val) == sorted(f"{folder}/{n}.png" for folder, count in counts.items() for n in range(count))
    # The same with train/ as without it.
    assert val == [f"{prefix}{name}" for name in HELD_OUT]
    assert [splits.test.classes[label] for label in splits.test.targets["labels"]] == [name[:3] for name in HELD_OUT]
    notes = [f"{first} has neither val nor test: {len(val)} of its 51 images are held out, as val.",
             "val has no images of owl."]  # fmt: skip
    assert list(splits.notes) == notes


HELD_OUT = [
    "cat/0.png",
    "cat/10.png",
    "cat/13.png",
    "cat/17.png",
    "cat/19.png",
    "cat/5.png",
    "cat/7.png",
    "cat/8.png",
    "dog/10.png",
    "dog/19.png",
    "dog/5.png",
    "dog/7.png",
    "dog/8.png",
]


def test_classes_of_one_image_alone_cannot_be_split(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"cat": 1, "dog": 1})
    with pytest.raises(DataError, match="is too small to hold out a fifth") as caught:
        with_watched_split(open_folder(root), str(root))
    assert str(root) in str(caught.value)


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_split_that_is_there_is_the_one(tmp_path: Path, part: str) -> None:
    splits = open_folder(write_tree(tmp_path, {"train/cat": 5, "train/dog": 5, f"{part}/cat": 1}))
    assert with_watched_split(splits, "it") is splits
    assert splits.watched == part


def test_runs_of_the_first_version_do_not_know_that_dev_is_a_split(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"train/cat": 10, "train/dog": 20, "dev/cat": 2})
    assert len(with_watched_split(open_folder(root), "it").splits["val"]) == 2
    as_it_was = with_watched_split(open_folder(root), "it", rule="stratified")
    assert (len(as_it_was.train), len(as_it_was.splits["val"])) == (24, 6)


def test_runs_of_the_first_version_are_split_as_they_were(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"cat": 10, "dog": 20})
    splits = with_watched_split(open_folder(root), str(root), rule="stratified")
    assert relative(splits.splits["val"], root) == OF_0_1_0
    assert isinstance(open_folder(root).splits["all"], FolderDataset)


OF_0_1_0 = ["cat/7.png", "cat/9.png", "dog/0.png", "dog/5.png", "dog/6.png", "dog/9.png"]


def test_a_number_of_images_held_out_leaves_test_alone() -> None:
    splits = with_watched_split(open_dataset("digits"), "digits", SplitSettings(holdout=100))
    assert {name: len(dataset) for name, dataset in splits.splits.items()} == {"train": 1337, "test": 360, "val": 100}
    assert (splits.watched, splits.scored) == ("val", "test")
    assert not {splits.train.key(i) for i in range(1337)} & {splits.test.key(i) for i in range(100)}


def test_digits_to_tune_on_are_val() -> None:
    splits = open_dataset("digits/validation")
    assert {name: len(dataset) for name, dataset in splits.splits.items()} == {"train": 1150, "val": 287}
