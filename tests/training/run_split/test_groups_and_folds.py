"""Shares, groups and folds, through the command line: what is on which side, and what the run records."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import statistics
from collections.abc import Iterable
from pathlib import Path

import pytest

import resnets
from tests.command_line import call
from tests.training.run_split.conftest import TINY, add, split_of

TRAIN = ["train", "paper/cifar", "--epochs", 1, "--device", "cpu", *TINY]
PATIENTS = 8


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 24 images, three of each patient: cat/003.png is of patient 1."""
    root = tmp_path_factory.mktemp("data") / "scans"
    for name in ("cat", "horse"):
        add(root / name, *range(3 * PATIENTS))
        for number in range(3 * PATIENTS):
            path = root / name / f"{number:03}.png"
            path.rename(path.with_name(f"patient{number // 3:02}-{number % 3}.png"))
    return root


def write_table(root: Path, rows: Iterable[Iterable[object]], header: str) -> Path:
    with open(root / "table.csv", "w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    return root / "table.csv"


def images(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.glob("*/*.png"))


def patients(names: Iterable[str]) -> set[str]:
    return {Path(name).name.partition("-")[0] for name in names}


def record_of(run: Path) -> dict[str, set[str]]:
    import gzip

    with gzip.open(run / "split.jsonl.gz") as file:
        lines = [json.loads(line) for line in file]
    return {split: {name for which, name in lines if which == split} for split in ("train", "val", "test")}


@pytest.fixture(scope="module")
def grouped(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "grouped"
    assert call(*TRAIN, "--data", scans, "--out", run, "--group-by", r"patient(\d+)").code == 0
    return run


def test_no_group_is_on_both_sides_and_the_plan_says_by_what(grouped: Path, scans: Path) -> None:
    trained, held_out = split_of(grouped)
    assert trained | held_out == set(images(scans))
    assert held_out
    assert not patients(trained) & patients(held_out)
    assert json.loads((grouped / "recipe.json").read_text())["recipe"]["group_by"] == r"patient(\d+)"
    answer = call("evaluate", grouped, "--json").json
    assert (answer["split"], answer["samples"]) == ("val", len(held_out))


def test_a_group_stays_where_it_is_when_others_come_and_go(grouped: Path, scans: Path, tmp_path: Path) -> None:
    more = shutil.copytree(scans, tmp_path / "more")
    add(more / "cat", 901)
    (more / "cat" / "901.png").rename(more / "cat" / "patient40-0.png")
    for path in more.glob("*/patient00*"):
        path.unlink()
    assert call(*TRAIN, "--data", more, "--out", tmp_path / "r", "--group-by", r"patient(\d+)").code == 0
    before, after = split_of(grouped)[1], split_of(tmp_path / "r")[1]
    both = set(images(scans)) & set(images(more))
    assert before & both == after & both


def test_the_column_group_of_a_table_is_one_of_groups(scans: Path, tmp_path: Path, grouped: Path) -> None:
    root = shutil.copytree(scans, tmp_path / "scans")
    rows = [(name, name.partition("/")[0], name.partition("patient")[2][:2]) for name in images(root)]
    table = write_table(root, rows, "path,label,group")
    assert call(*TRAIN, "--data", table, "--out", tmp_path / "r").code == 0
    # The same groups, from names or from a column, are on the same sides.
    assert split_of(tmp_path / "r") == split_of(grouped)
    assert json.loads((tmp_path / "r" / "recipe.json").read_text())["split_rule"] == "groups"
    assert call("resume", tmp_path / "r").code == 0


def test_groups_that_the_data_divides_are_named(scans: Path, tmp_path: Path) -> None:
    root = shutil.copytree(scans, tmp_path / "scans")
    rows = [
        (name, name.partition("/")[0], "val" if "-2" in name else "train", "p" + name[-8:-6]) for name in images(root)
    ]
    table = write_table(root, rows, "path,label,split,group")
    result = call(*TRAIN, "--data", table, "--out", tmp_path / "r")
    assert f"{PATIENTS} groups are in train and in val" in result.out


@pytest.mark.parametrize(
    ("flags", "code", "reason"),
    [
        (["--group-by", "("], 2, "is no regular expression"),
        (["--group-by", "doctor"], 1, "finds no group in the names of 48 of 48 images: cat/patient00-0.png"),
        (["--val-share", "1"], 2, "val_share must be from 0 to below 1"),
        (["--val-share", "0"], 2, "has neither val nor test, and val_share=0 holds nothing out"),
        (["--fold", "6/5"], 2, "There is no fold 6/5"),
        (["--fold", "some"], 2, "such as 2/5, or all"),
        (["--fold", "1/5", "holdout=4"], 2, "holdout draws samples class by class"),
        (["--fold", "1/5", "--monitor", "accuracy"], 2, "--val-share 0.2"),
    ],
)
def test_what_does_not_fit_is_refused(scans: Path, tmp_path: Path, flags: list[str], code: int, reason: str) -> None:
    result = call(*TRAIN, "--data", scans, "--out", tmp_path / "r", *flags)
    assert (result.code, reason in result.err) == (code, True), result.err
    assert not (tmp_path / "r" / "recipe.json").exists()


def test_a_share_is_held_out_beside_a_test_split_and_test_is_scored_once(scans: Path, tmp_path: Path) -> None:
    root = tmp_path / "scans"
    shutil.copytree(scans, root / "train")
    shutil.copytree(scans, root / "test")
    answer = call(*TRAIN, "--data", root, "--out", tmp_path / "r", "--val-share", 0.4, "--json").json
    assert (answer["split"], answer["test"]["split"], answer["test"]["samples"]) == ("val", "test", 48)
    trained, held_out = split_of(tmp_path / "r")
    assert 10 < len(held_out) < 30
    assert len(trained) + len(held_out) == 48
    by_patient = ("--val-share", 0.4, "--group-by", r"patient(\d+)")
    assert call(*TRAIN, "--data", root, "--out", tmp_path / "g", *by_patient).code == 0
    page = (tmp_path / "g" / "report.html").read_text()
    assert re.search(f"clustered by {PATIENTS} groups.{{0,80}}scored once, when training had ended", page, re.DOTALL)
    without = call(*TRAIN, "--data", root, "--out", tmp_path / "s", "--val-share", 0, "--json").json
    assert (without["split"], (tmp_path / "s" / "split.jsonl.gz").exists()) == ("test", False)
    default = call(*TRAIN, "--data", root, "--out", tmp_path / "t", "--json").json
    assert default["split"] == "test"


@pytest.fixture(scope="module")
def folds(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    out = tmp_path_factory.mktemp("runs") / "folds"
    flags = ["--fold", "all/3", "--group-by", r"patient\d+", "--val-share", 0.3]
    return out, call(*TRAIN, "--data", scans, "--out", out, *flags, "--json").json


def test_over_all_folds_every_sample_is_tested_once(folds: tuple[Path, dict[str, object]], scans: Path) -> None:
    records = [record_of(folds[0] / f"fold-{number}") for number in (1, 2, 3)]
    assert sorted(name for record in records for name in record["test"]) == images(scans)
    for record in records:
        assert sorted(name for names in record.values() for name in names) == images(scans)
        assert record["val"]
        tested, held_out, trained = (patients(record[split]) for split in ("test", "val", "train"))
        assert not tested & (trained | held_out)
        assert not held_out & trained


def test_the_table_has_the_mean_and_the_deviation_of_the_tested_samples(
    folds: tuple[Path, dict[str, object]],
) -> None:
    out, answer = folds
    each = [call("evaluate", out / f"fold-{number}", "--json").json for number in (1, 2, 3)]
    assert {result["split"] for result in each} == {"test"}
    values = [result["accuracy"] for result in each]
    assert answer["accuracy"] == pytest.approx(statistics.mean(values))
    assert answer["deviation"]["accuracy"] == pytest.approx(statistics.stdev(values))  # type: ignore[index]
    assert (answer["samples"], answer["split"]) == (48, "test")
    lines = call("resume", out).out.splitlines()
    assert [line.split()[0] for line in lines[-7:]] == ["fold", "1/3", "2/3", "3/3", "mean", "±", "folder"]


def test_folds_that_were_cut_off_go_on(folds: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    cut = shutil.copytree(folds[0], tmp_path / "cut")
    shutil.rmtree(cut / "fold-3")
    (cut / "fold-2" / "model.safetensors").unlink()
    log = cut / "fold-2" / "log.jsonl"
    log.write_text("".join(line + "\n" for line in log.read_text().splitlines() if '"end"' not in line))
    shutil.rmtree(cut / "fold-2" / "checkpoint")
    answer = call("resume", cut, "--json").json
    assert {k: v for k, v in answer.items() if k not in ("folder", "folds")} == {
        k: v for k, v in folds[1].items() if k not in ("folder", "folds")
    }


def test_the_column_fold_decides(scans: Path, tmp_path: Path) -> None:
    root = shutil.copytree(scans, tmp_path / "scans")
    rows = [(name, name.partition("/")[0], int(name[-8:-6]) % 2) for name in images(root)]
    table = write_table(root, rows, "path,label,fold")
    assert call(*TRAIN, "--data", table, "--out", tmp_path / "r", "--fold", "2/2").code == 0
    tested = record_of(tmp_path / "r")["test"]
    assert tested == {name for name, _, fold in rows if fold == 1}
    refused = call(*TRAIN, "--data", table, "--out", tmp_path / "s", "--fold", "2/5")
    assert "has 2 values (0, 1), not 5" in refused.err
    run = resnets.train("paper/cifar", *TINY, data=table, fold="all", epochs=1, out=tmp_path / "all", quiet=True)
    assert [each.metrics["samples"] for each in run.runs] == [24, 24]
    assert math.isfinite(run.metrics["accuracy"])


def test_folds_are_of_all_samples_of_data_with_splits(scans: Path, tmp_path: Path) -> None:
    root = tmp_path / "scans"
    shutil.copytree(scans, root / "train")
    (root / "test").mkdir()
    shutil.move(root / "train" / "cat", root / "test" / "cat")
    shutil.copytree(root / "test" / "cat", root / "train" / "cat")
    result = call(*TRAIN, "--data", root, "--out", tmp_path / "r", "--fold", "1/4")
    assert "those of train and test are put together" in result.out
    record = record_of(tmp_path / "r")
    assert len(record["train"]) + len(record["test"]) == 72
    assert {name.partition("/")[0] for name in record["test"]} == {"train", "test"}
    answer = call("evaluate", tmp_path / "r", "--data", root, "--json").json
    assert (answer["split"], answer["samples"]) == ("test", len(record["test"]))
