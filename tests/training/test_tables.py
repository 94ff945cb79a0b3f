"""Runs on tables: multi-label and regression through train, resume, evaluate and predict."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from PIL import Image

import resnets
from resnets.artifacts import model_file
from resnets.cli import main
from resnets.core.errors import UsageError
from resnets.tasks.multilabel.settings import MultiLabel
from resnets.tasks.regression.settings import Regress
from tests.training.cut import cut_after
from tests.training.runs import SETTINGS, sha_of

EPOCHS = 4


@pytest.fixture(scope="module", params=["labels", "target"])
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that are bright at the left, at the right, at both or at none; the target is the brightness."""
    root = tmp_path_factory.mktemp(request.param)
    generator = np.random.default_rng(0)
    rows = [("path", request.param, "split")]
    for number in range(66):
        left, right = (int(bit) for bit in generator.integers(2, size=2))
        pixels = generator.integers(0, 90, (20, 24, 3))
        pixels[:, :12] += 150 * left
        pixels[:, 12:] += 150 * right
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"{number:02}.png")
        labels = ";".join(name for name, bit in (("left", left), ("right", right)) if bit)
        target = labels if request.param == "labels" else str(pixels.mean())
        rows.append((f"{number:02}.png", target, "val" if number >= 48 else "train"))
    with open(root / "data.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root / "data.csv"


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    resnets.train("paper/cifar", *SETTINGS, data=str(table), out=out, epochs=EPOCHS, checkpoint_steps=5)
    return out


def of(table: Path) -> str:
    return table.parent.name.rstrip("0123456789")


def test_the_model_file_has_the_settings_that_the_run_found(table: Path, run: Path) -> None:
    _, card = model_file.load(run / "model.safetensors")
    if of(table) == "labels":
        assert isinstance(card.settings, MultiLabel)
        assert card.classes == ("left", "right")
        assert card.settings.thresholds == tuple(each["threshold"] for each in card.metrics["classes"].values())
    else:
        assert isinstance(card.settings, Regress)
        assert card.classes == ("target",)
        with open(table, newline="") as file:
            target = [float(row["target"]) for row in csv.DictReader(file) if row["split"] == "train"]
        assert card.settings.mean == pytest.approx(np.mean(target), rel=1e-6)
        assert card.settings.std == pytest.approx(np.std(target), rel=1e-6)


def test_the_task_that_the_data_decides_is_noted(table: Path, run: Path) -> None:
    start = json.loads((run / "log.jsonl").read_text().splitlines()[0])
    task = "multi-label" if of(table) == "labels" else "regression"
    assert start["task"] == task
    assert f"The data is for {task}, which is trained in place of classification." in start["notes"]


def test_another_task_than_the_data_s_is_refused(table: Path, tmp_path: Path) -> None:
    other = "Regress" if of(table) == "labels" else "MultiLabel"
    with pytest.raises(UsageError, match=r"The data is for .*, and the recipe's task is"):
        resnets.train("paper/cifar", *SETTINGS, f"task={other}", data=str(table), out=tmp_path / "r")


def test_a_resumed_run_ends_as_the_uninterrupted_one(table: Path, run: Path, tmp_path: Path) -> None:
    cut_after(table, tmp_path / "r", 10, epochs=EPOCHS)
    resnets.resume(tmp_path / "r")
    assert sha_of(tmp_path / "r") == sha_of(run)


def test_evaluate_gives_what_the_run_gave_and_scikit_learn_gives(table: Path, run: Path, tmp_path: Path) -> None:
    scores = resnets.evaluate(run, out=tmp_path)
    _, card = model_file.load(run / "model.safetensors")
    assert scores.metrics == {name: card.metrics[name] for name in scores.metrics}
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 18
    if of(table) == "target":
        target, predicted = ([float(row[name]) for row in rows] for name in ("target", "predicted"))
        assert scores.metrics["mae"] == pytest.approx(sklearn.metrics.mean_absolute_error(target, predicted), rel=1e-6)
        assert scores.metrics["r2"] == pytest.approx(sklearn.metrics.r2_score(target, predicted), rel=1e-6)
    else:
        truth = [[name in row["labels"].split(";") for name in ("left", "right")] for row in rows]
        score = [[float(row[f"probability {name}"]) for name in ("left", "right")] for row in rows]
        chosen = [[name in row["predicted"].split(";") for name in ("left", "right")] for row in rows]
        expected = sklearn.metrics.average_precision_score(truth, score, average="macro")
        assert scores.metrics["map"] == pytest.approx(expected, abs=1e-9)
        assert scores.metrics["macro_f1"] == pytest.approx(sklearn.metrics.f1_score(truth, chosen, average="macro"))
    assert (tmp_path / "report.html").stat().st_size > 1000


def answers_of(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*argv, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_predict_answers_as_evaluate(
    table: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resnets.evaluate(run, out=tmp_path)
    with open(tmp_path / "predictions.csv", newline="") as file:
        row = next(csv.DictReader(file))
    found = answers_of(capsys, "predict", str(run), row["image"])
    (prediction,) = found["predictions"]
    assert prediction["input"] == row["image"]
    if of(table) == "target":
        assert (found["task"], set(prediction)) == ("regression", {"input", "target"})
        assert prediction["target"] == pytest.approx(float(row["predicted"]), rel=1e-5)
    else:
        assert found["task"] == "multi-label"
        assert {each["name"] for each in prediction["classes"]} == {"left", "right"}
        assert ";".join(sorted(each["name"] for each in prediction["classes"] if each["chosen"])) == row["predicted"]
        for each in prediction["classes"]:
            assert each["probability"] == pytest.approx(float(row[f"probability {each['name']}"]), rel=1e-5)


def test_answers_of_crops_and_of_models_are_averaged(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone, twice = (answers_of(capsys, "evaluate", *[str(run)] * count) for count in (1, 2))
    headline = "mae" if "mae" in alone else "map"
    assert twice[headline] == pytest.approx(alone[headline], rel=1e-6)
    flipped = answers_of(capsys, "evaluate", str(run), "--tta", "flip")
    assert flipped["loss"] != alone["loss"]


def test_the_best_model_is_picked_by_a_metric_of_the_task(table: Path, tmp_path: Path) -> None:
    metric, best = ("map", max) if of(table) == "labels" else ("mae", min)
    settings = [each for each in SETTINGS if not each.startswith("ema")]
    task = "task=MultiLabel" if of(table) == "labels" else "task=Regress"
    run = resnets.train(
        "paper/cifar", *settings, task, data=str(table), out=tmp_path / "r", epochs=EPOCHS, monitor=metric
    )
    log = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    values = [event[metric] for event in log if event["event"] == "evaluation"]
    assert run.metrics[metric] == best(values)


def test_smoothing_is_refused_for_numbers_alone(table: Path, tmp_path: Path) -> None:
    arguments = ("paper/cifar", *SETTINGS, "label_smoothing=0.1", "steps=1")
    if of(table) == "labels":
        resnets.train(*arguments, data=str(table), out=tmp_path / "r")
    else:
        with pytest.raises(UsageError, match="a regression takes label_smoothing=0"):
            resnets.train(*arguments, data=str(table), out=tmp_path / "r")
        assert not (tmp_path / "r" / "recipe.json").exists()
