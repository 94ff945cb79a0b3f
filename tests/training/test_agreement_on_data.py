"""Ranks that see different data or score different models are refused; rank 0 scans for all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.core.errors import UsageError
from resnets.data import scan as data_scan
from resnets.modalities.catalog import open_dataset
from resnets.recipes.catalog import find
from resnets.training import agreement, prepare, shared_scan
from resnets.training.shared_scan import require_same_files
from tests.training.runs import SETTINGS
from tests.training.thread_ranks import on_each


def rename(path: Path) -> None:
    path.rename(path.with_name("903.png"))


def same_size(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize("change", [rename, same_size, lambda path: path.write_bytes(b"")])
def test_data_that_differs_is_named(change: Callable[[Path], object], part: str, data: Path, tmp_path: Path) -> None:
    other = shutil.copytree(data, tmp_path / "data")
    read = [open_dataset(str(root)) for root in (data, other)]
    assert on_each(2, lambda ranks: require_same_files(read[ranks.rank], ranks)) == [None, None]
    change(other / part / "class1" / "003.png")
    read[1] = open_dataset(str(other))
    named = "training" if part == "train" else "test"
    for error in on_each(2, lambda ranks: require_same_files(read[ranks.rank], ranks)):
        assert isinstance(error, UsageError)
        assert f"{named} data (fingerprint)" in str(error)


def test_rank_0_scans_for_all(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = shutil.copytree(data, tmp_path / "data")
    (broken / "train" / "class1" / "003.png").write_bytes(b"no image")
    recipe = find("paper/cifar").with_overrides([*SETTINGS, f"data={broken}", "damaged=exclude"])
    alone, expected = prepare.resolve(recipe)
    scans: list[object] = []
    scan = data_scan.scan

    def counting(*arguments: Any, **options: Any) -> Any:
        scans.append(arguments)
        return scan(*arguments, **options)

    monkeypatch.setattr(shared_scan, "scan", counting)
    for resolved, found in on_each(3, lambda ranks: prepare.resolve(recipe, ranks=ranks)):
        assert resolved == alone
        assert found.sha256() == expected.sha256()
        assert found.notes == expected.notes
        assert len(found.train) == 119
    assert len(scans) == 2
    refused = replace(recipe, damaged="refuse")
    assert all("1 of 120 training" in str(e) for e in on_each(2, lambda ranks: prepare.resolve(refused, ranks=ranks)))


def test_ranks_do_not_score_different_samples_or_weights(data: Path, tmp_path: Path) -> None:
    other = shutil.copytree(data, tmp_path / "data")
    (other / "val" / "class1" / "003.png").rename(other / "val" / "class1" / "903.png")
    datasets = [open_dataset(str(root)).split("val") for root in (data, other)]
    nets = [resnets.create("cifar_resnet20", seed=seed) for seed in (0, 0, 1)]

    def compared(images: tuple[int, int], networks: tuple[int, int]) -> list[Any]:
        return on_each(
            2,
            lambda ranks: agreement.require_equal_evaluation(
                ranks, datasets[images[ranks.rank]], [nets[networks[ranks.rank]]], "val"
            ),
        )

    assert compared((0, 0), (0, 1)) == [None, None]
    assert all("data (fingerprint)" in str(error) for error in compared((0, 1), (0, 1)))
    assert all("weights: " in str(error) for error in compared((0, 0), (0, 2)))
