from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from resnets.core.errors import DataError
from resnets.data.folds import folds_by_hash, with_fold
from resnets.data.groups import Groups, groups_of
from resnets.data.split_settings import Fold, SplitSettings, parse_all_folds, parse_fold
from resnets.data.splits import by_hash, with_watched_split
from resnets.modalities.base import DatasetSplits
from resnets.modalities.catalog import open_dataset
from resnets.modalities.image.datasets.in_memory import InMemoryDataset
from resnets.modalities.pooled import pooled
from tests.conftest import write_tree
from tests.data.test_splits import made

NAMES = {name: [f"{name}/{number}.jpg" for number in range(200)] for name in ("cat", "dog", "owl")}


def fold_of(names: dict[str, list[str]], count: int = 5) -> dict[str, int]:
    dataset = made(names)
    folds = folds_by_hash(dataset, count, None)
    return {dataset.name(index): int(fold) for index, fold in enumerate(folds)}


def test_no_sample_changes_its_fold_when_others_come_and_go() -> None:
    before = fold_of(NAMES)
    for seed in range(5):
        g = random.Random(seed)
        after = fold_of({name: [*g.sample(files, 150), f"{name}/new.jpg"] for name, files in NAMES.items()})
        assert {name: fold for name, fold in after.items() if "new" not in name}.items() <= before.items()
    assert all(25 < list(before.values()).count(fold) < 200 for fold in range(1, 6))


def test_the_first_fold_is_what_is_held_out_without_folds() -> None:
    dataset = made(NAMES)
    assert np.flatnonzero(folds_by_hash(dataset, 5, None) == 1).tolist() == by_hash(dataset)[1].tolist()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(2, 6), st.integers(0, 10**6))
def test_each_class_is_in_as_many_folds_as_it_can_be(counts: list[int], folds: int, salt: int) -> None:
    names = {f"c{n}": [f"c{n}/{salt + i}.jpg" for i in range(count)] for n, count in enumerate(counts)}
    found = fold_of(names, folds)
    for files in names.values():
        own = {found[name] for name in files}
        assert own == {0} if len(files) == 1 else len(own) == min(folds, len(files))


def grouped(seed: int, samples: int, groups: int, classes: int) -> tuple[InMemoryDataset, Groups]:
    g = np.random.default_rng(seed)
    of = g.integers(groups, size=samples)
    labels = g.integers(classes, size=samples)
    pixels = np.zeros((samples, 1, 1, 1), np.uint8)
    names = tuple(f"{seed}-{group}/{number}.jpg" for number, group in enumerate(of))
    dataset = InMemoryDataset(tuple("abcdefgh"[:classes]), labels, pixels, names=names)
    found = groups_of(dataset, r"^(.*)/")
    assert found is not None
    assert [name.decode() for name in np.array(found.names)[found.of]] == [name.partition("/")[0] for name in names]
    return dataset, found


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 9), st.integers(1, 4), st.integers(2, 5))
def test_groups_are_never_divided(seed: int, samples: int, groups: int, classes: int, count: int) -> None:
    dataset, found = grouped(seed, samples, groups, classes)
    folds = folds_by_hash(dataset, count, found)
    kept, out = by_hash(dataset, 0.3, found)
    assert sorted([*kept, *out]) == list(range(samples))
    assert not set(found.of[kept]) & set(found.of[out])
    assert set(dataset.labels[kept]) == set(dataset.labels)  # training has every class
    for group in range(len(found.names)):
        assert len(set(folds[found.of == group])) == 1
    for label in set(dataset.labels.tolist()):
        own = folds[dataset.labels == label]
        several = len(set(found.of[dataset.labels == label])) > 1
        assert several or not own.any()


def test_val_of_a_fold_is_drawn_by_other_bytes_than_the_fold() -> None:
    splits = DatasetSplits({"all": made(NAMES)})
    shares = []
    for number in range(1, 6):
        found = with_watched_split(splits, "it", SplitSettings(val_share=0.2, fold=f"{number}/5"))
        train, val, test = (len(found.splits[split]) for split in ("train", "val", "test"))
        assert train + val + test == 600
        shares.append(val / (train + val))
    assert all(0.12 < share < 0.28 for share in shares)


def test_digits_are_put_together() -> None:
    splits = open_dataset("digits")
    whole = pooled(splits)
    tested: list[NDArray[np.int64]] = [
        with_fold(splits, "digits", Fold(number, 3), None).splits["test"].indices  # type: ignore[attr-defined]
        for number in (1, 2, 3)
    ]
    assert sorted(np.concatenate(tested).tolist()) == list(range(1797)) == list(range(len(whole)))


def test_splits_of_several_kinds_cannot_be_put_together(tmp_path: Path) -> None:
    folder = open_dataset(str(write_tree(tmp_path, {"a": 2, "b": 2}))).train
    with pytest.raises(DataError, match="cannot be put together"):
        pooled(DatasetSplits({"train": made({"a": ["1", "2"]}), "test": folder}))


def test_what_folds_are_called() -> None:
    assert parse_fold("2/5") == Fold(2, 5)
    assert [parse_all_folds(text) for text in ("all", "all/10", "1/5")] == [0, 10, None]
