"""From planted wrong labels to a corrected copy: all folds, evaluated together, and `check --relabel`."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
import sklearn.metrics
from PIL import Image

import resnets
from resnets.cli import main
from resnets.commands.training_run import Run
from resnets.core.errors import DataError, FileError, UsageError
from resnets.core.files import cell_text, write_csv

SHORT = ("model.depths=[1,1]", "model.widths=[16,32]", "model.stem_width=16", "batch=32")


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def files_of(root: Path) -> dict[str, str]:
    """The folder of each file below `root` by its name."""
    return {path.name: path.parent.name for path in root.rglob("*.png")}


@pytest.fixture(scope="module")
def truth() -> dict[str, str]:
    """The digit in each file."""
    return {f"{number:03}.png": str(sklearn.datasets.load_digits().target[number]) for number in range(400)}


@pytest.fixture(scope="module")
def photos(truth: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits in folders, of which every twentieth is in the wrong one."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for number, (name, digit) in enumerate(truth.items()):
        folder = root / (str((int(digit) + 3) % 10) if number % 20 == 0 else digit)
        folder.mkdir(parents=True, exist_ok=True)
        pixels = sklearn.datasets.load_digits().images[number] * 15.9375
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
    return root


@pytest.fixture(scope="module")
def folds(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "folds"
    return resnets.train("digits", *SHORT, data=photos, fold="all/3", epochs=12, device="cpu", seed=0, out=out)


@pytest.mark.slow
def test_folds_are_evaluated_together(folds: Run, photos: Path, tmp_path: Path) -> None:
    found = resnets.evaluate(folds, device="cpu", out=tmp_path)
    rows = rows_of(tmp_path / "predictions.csv")
    assert len(rows) == found.metrics["samples"] == 400
    assert {Path(row["image"]).name for row in rows} == files_of(photos).keys()
    assert [row["label"] for row in rows] == [Path(row["image"]).parent.name for row in rows]
    for row in rows:
        of_label = math.exp(-float(row["loss"]))
        expected = -of_label if row["predicted"] == row["label"] else float(row["confidence"]) - of_label
        assert float(row["suspicion"]) == pytest.approx(expected, abs=1e-6)
    accuracy = sklearn.metrics.accuracy_score([row["label"] for row in rows], [row["predicted"] for row in rows])
    assert found.accuracy == pytest.approx(accuracy)
    of_folds = [resnets.evaluate(run, split="test", device="cpu") for run in folds.runs]
    hits = sum(each.accuracy * each.metrics["samples"] for each in of_folds)
    assert found.accuracy == pytest.approx(hits / 400)
    assert "400 test samples right" in (tmp_path / "report.html").read_text()


def test_wrong_labels_are_found_and_corrected_in_a_copy(
    folds: Run, photos: Path, truth: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_of(photos)
    wrong = {name for name, folder in before.items() if folder != truth[name]}
    assert main(["evaluate", str(folds.folder), "--device", "cpu", "--out", str(tmp_path)]) == 0
    rows = rows_of(tmp_path / "wrong_labels.csv")
    found = {Path(row["path"]).name for row in rows}
    assert len(found & wrong) >= 0.8 * len(wrong)
    assert {Path(row["path"]).name for row in rows[:10]} <= wrong
    assert all(Path(row["path"]).parent.name == row["label"] != row["suggested"] for row in rows)
    by_suspicion = sorted(rows_of(tmp_path / "predictions.csv"), key=lambda row: -float(row["suspicion"]))
    ranked = [row["image"] for row in by_suspicion]
    assert [path for path in ranked if path in {row["path"] for row in rows}] == [row["path"] for row in rows]
    assert len(wrong & {Path(path).name for path in ranked[:40]}) >= 0.9 * len(wrong)
    assert "labels to look at" in (tmp_path / "report.html").read_text()

    edited = tmp_path / "edited.csv"
    with open(edited, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["path", "suggested"], *([row["path"], row["suggested"]] for row in rows[:10])])
    capsys.readouterr()
    out = tmp_path / "corrected"
    assert main(["check", str(photos), "--relabel", str(edited), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"] == str(out)
    after = files_of(out)
    assert files_of(photos) == before
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {Path(row["path"]).name for row in rows[:10]}
    assert sum(after[name] == truth[name] for name in changed) >= 8
    for name in list(after)[::40]:
        old, new = photos / before[name] / name, out / after[name] / name
        assert old.read_bytes() == new.read_bytes()
    with pytest.raises(UsageError, match="exists: give --out a new one"):
        resnets.check(photos, relabel=edited, out=out)


def test_a_table_is_corrected_beside_the_old_one(photos: Path, truth: dict[str, str], tmp_path: Path) -> None:
    names = list(truth)[:60]
    for name in names:
        (tmp_path / name).write_bytes(next(photos.rglob(name)).read_bytes())
    table = [["path", "label", "split", "group"]]
    table += [[name, truth[name], "val" if i % 4 == 0 else "train", f"g{i % 4}"] for i, name in enumerate(names)]
    with open(tmp_path / "t.csv", "w", newline="") as file:
        csv.writer(file).writerows(table)
    with open(tmp_path / "c.csv", "w", newline="") as file:
        csv.writer(file).writerows([["suggested", "path"], ["7", str(tmp_path / names[3])]])
    resnets.check(tmp_path / "t.csv", relabel=tmp_path / "c.csv", out=tmp_path / "new.csv")
    old, new = ({row["path"]: row for row in rows_of(tmp_path / name)} for name in ("t.csv", "new.csv"))
    assert new == old | {names[3]: old[names[3]] | {"label": "7"}}
    with pytest.raises(UsageError, match="lies beside its files"):
        resnets.check(tmp_path / "t.csv", relabel=tmp_path / "c.csv", out=tmp_path / "elsewhere" / "new.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na,b\n", "no column suggested"),
        ("path,suggested\n", "no rows"),
        ("path,suggested\nPHOTO,\n", "Row 2 of .* has no label"),
        ("path,suggested\nPHOTO,1\nPHOTO,2\n", "two labels for"),
        ("path,suggested\nPHOTO,eleven\n", "class of the data is called 'eleven'"),
        ("path,suggested\nelsewhere/1.png,1\n", "elsewhere/1.png is no sample"),
    ],
)
def test_corrections_that_do_not_fit_are_refused(photos: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.csv").write_text(text.replace("PHOTO", str(next(photos.rglob("*.png")))))
    with pytest.raises((DataError, UsageError), match=message):
        resnets.check(photos, relabel=tmp_path / "c.csv", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_mistakes_are_named(folds: Run, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"missing\.csv"):
        resnets.check(photos, relabel=tmp_path / "missing.csv", out=tmp_path / "out")
    (tmp_path / "c.csv").write_text("path,suggested\n")
    with pytest.raises(UsageError, match="where the corrected copy goes"):
        resnets.check(photos, relabel=tmp_path / "c.csv")
    with pytest.raises(UsageError, match="Folds are evaluated on the samples that each held out"):
        resnets.evaluate(folds, data=photos, device="cpu")


def test_names_that_a_spreadsheet_would_evaluate_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for label in ("+", "-"):
        (tmp_path / "@signs" / label).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (8, 8), 60 * number + (label == "+")).save(tmp_path / "@signs" / label / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    write_csv(Path("wrong.csv"), [("path", "suggested"), ("@signs/-/1.png", "+")])
    assert "'@signs" in Path("wrong.csv").read_text()
    assert main(["check", "@signs", "--relabel", "wrong.csv", "--out", "corrected"]) == 0
    assert len(list(Path("corrected/+").iterdir())) == 4
    assert (cell_text("'+"), cell_text("'x"), cell_text("a\\udcffb")) == ("+", "'x", "a\udcffb")


def test_corruptions_are_not_of_folds(folds: Run) -> None:
    with pytest.raises(UsageError, match="Corruptions are of one model"):
        resnets.evaluate(folds, corruptions=True)
