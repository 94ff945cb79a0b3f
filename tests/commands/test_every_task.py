"""Every task through every command: the answers of interface.md, and predict's are those that evaluate scores."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.artifacts import model_file
from tests.command_line import call
from tests.commands.data import TASKS, train_all

HEADLINES = {"classification": "accuracy", "multi-label": "map", "regression": "mae", "segmentation": "miou"}
EVERY = {"task", "data", "split", "samples", "excluded", "damaged", "loss"}
METRICS = {
    "classification": {"accuracy", "top5", "balanced_accuracy", "macro_f1", "ece", "auc", "classes"},
    "multi-label": {"map", "micro_f1", "macro_f1", "classes"},
    "regression": {"mae", "rmse", "r2"},
    "segmentation": {"miou", "pixel_accuracy", "classes"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return train_all(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [event for event in lines if event["event"] == kind]


def data_of(runs: dict[str, Path], task: str) -> Path:
    root = runs[task].parents[1]
    return {
        "classification": root / "sounds", "multi-label": root / "table" / "labels.csv",
        "regression": root / "table" / "numbers.csv", "segmentation": root / "masks",
    }[task]  # fmt: skip


def files_of_test(runs: dict[str, Path], task: str) -> list[str]:
    data = data_of(runs, task)
    if data.is_dir():
        pattern = "test/*/*.wav" if task == "classification" else "test/*.png"
        found = sorted(str(path) for path in data.glob(pattern))
    else:
        found = [str(data.parent / "images" / f"{i}.png") for i in range(32, 40)]
    assert found
    return found


def test_training_shows_the_metric_of_the_task_and_what_its_samples_are_called(
    runs: dict[str, Path], task: str
) -> None:
    text = (runs[task].parent / f"{task}.txt").read_text()
    noun = "recordings" if task == "classification" else "images"
    assert f"val {HEADLINES[task]} " in text
    assert f" {noun} to train on" in text
    assert f" {noun}/s" in text
    (start,) = events(runs[task], "start")
    assert (start["task"], start["noun"] + "s") == (task, noun)


def test_the_best_model_is_the_best_in_the_direction_of_the_metric(runs: dict[str, Path]) -> None:
    for task, pick in (("regression", min), ("multi-label", max), ("segmentation", max)):
        name = HEADLINES[task]
        card = model_file.load(runs[task] / "model.safetensors")[1]
        assert card.metrics[name] == pick(event[name] for event in events(runs[task], "evaluation"))


def test_evaluate_answers_with_the_keys_of_the_task(runs: dict[str, Path], task: str, tmp_path: Path) -> None:
    answer = call("evaluate", runs[task], "--out", tmp_path, "--json").json
    assert answer.keys() >= EVERY | METRICS[task]
    assert (answer["task"], answer["split"], answer["excluded"]) == (task, "test", 0)
    assert json.loads((tmp_path / "metrics.json").read_text()) == answer
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == answer["samples"]
    assert [row["recording" if task == "classification" else "image"] for row in rows] == files_of_test(runs, task)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert answer["data"] in page
    assert "data:image/" in page or task in ("multi-label", "regression")  # the worst answers, as spectrograms too
    assert call("evaluate", runs[task], "--split", "val", "--json").json[HEADLINES[task]] == pytest.approx(
        model_file.load(runs[task] / "model.safetensors")[1].metrics[HEADLINES[task]], abs=1e-6
    )
    assert HEADLINES[task] in call("evaluate", runs[task]).out.lower().replace("mean iou", "miou")


def test_training_ends_with_the_metrics_of_test_as_evaluate_has_them(runs: dict[str, Path], task: str) -> None:
    answer = call("resume", runs[task], "--json").json
    assert answer["split"] == "val"
    scored = call("evaluate", runs[task], "--json").json
    assert answer["test"].keys() == scored.keys() - {"task", "data", "damaged"}
    assert {"task": task, "data": answer["data"], **answer["test"], "damaged": {}} == scored
    assert f"test {HEADLINES[task]} " in (runs[task].parent / f"{task}.txt").read_text()


def test_resume_of_a_finished_run_says_what_it_reached(runs: dict[str, Path], task: str) -> None:
    result = call("resume", runs[task])
    assert "finished already" in result.out
    assert f"val {HEADLINES[task]} " in result.out


def test_predictions_are_those_that_evaluation_scores_to_the_last_bit(runs: dict[str, Path], task: str) -> None:
    model, records = resnets.load(runs[task]), resnets.evaluate(runs[task]).records
    answers: list[Any] = model.predict_many(files_of_test(runs, task), top=2)
    if task == "classification":
        assert [answer[0][1] for answer in answers] == records["confidence"].tolist()
    elif task == "multi-label":
        found = [{each.name: each.probability for each in answer} for answer in answers]
        assert [[row[name] for name in model.classes] for row in found] == records["probability"].tolist()
    elif task == "regression":
        assert answers == records["predicted"].tolist()


def test_probabilities_are_those_of_the_answers_or_refused_by_name(runs: dict[str, Path], task: str) -> None:
    model, files = resnets.load(runs[task]), files_of_test(runs, task)[:2]
    if task in ("classification", "multi-label"):
        found = model.probabilities(files)
        assert found.shape == (2, len(model.classes))
        assert task != "classification" or found.sum(1).tolist() == pytest.approx([1, 1])
    else:
        with pytest.raises(resnets.UsageError, match=f"A model of {task} gives no probabilities"):
            model.probabilities(files)


def test_predict_answers_with_the_keys_of_the_task(runs: dict[str, Path], task: str, tmp_path: Path) -> None:
    file = files_of_test(runs, task)[0]
    damaged = tmp_path / f"damaged{Path(file).suffix}"
    damaged.write_bytes(b"nothing")
    out = tmp_path / "answers.json"
    result = call("predict", runs[task], file, damaged, "--json", "--out", out)
    assert result.code == 1
    assert json.loads(out.read_text()) == result.json
    assert (result.json["task"], [each["input"] for each in result.json["failed"]]) == (task, [str(damaged)])
    (prediction,) = result.json["predictions"]
    assert prediction["input"] == file
    entries = {
        "classification": {"name", "probability"}, "multi-label": {"name", "probability", "chosen"},
        "segmentation": {"name", "share"},
    }  # fmt: skip
    if task == "regression":
        assert isinstance(prediction["target"], float)
    else:
        assert all(each.keys() == entries[task] for each in prediction["classes"])
        assert len(prediction["classes"]) == 2 or task == "segmentation"  # which leaves out classes without pixels
    assert prediction.keys() == {"input", "target" if task == "regression" else "classes"}


def test_predict_draws_its_answers_into_a_folder(runs: dict[str, Path], task: str, tmp_path: Path) -> None:
    file = files_of_test(runs, task)[0]
    result = call("predict", runs[task], file, "--out", tmp_path, "--json")
    assert result.json == json.loads((tmp_path / "predictions.json").read_text())
    drawn = np.asarray(Image.open(tmp_path / f"{Path(file).stem}.drawn.jpg").convert("L"))
    if task != "segmentation":  # whose masks lie over the image
        assert (drawn[-20:] > 250).mean() > 0.5  # white
        assert (drawn[-20:] < 100).any()  # with text


def test_masks_that_predict_writes_have_the_miou_of_evaluate(runs: dict[str, Path], tmp_path: Path) -> None:
    folder = data_of(runs, "segmentation")
    result = call("predict", runs["segmentation"], folder / "test", "--out", tmp_path, "--json")
    assert result.json == json.loads((tmp_path / "predictions.json").read_text())
    assert [each["mask"] for each in result.json["predictions"]] == ["0.png", "1.png", "2.png"]
    assert all((tmp_path / f"{i}.drawn.jpg").exists() for i in range(3))
    pairs = [
        tuple(np.asarray(Image.open(path)) for path in (tmp_path / f"{i}.png", folder / "testannot" / f"{i}.png"))
        for i in range(3)
    ]
    assert all(answer.shape == truth.shape for answer, truth in pairs)
    answer, truth = (np.concatenate([pair[side][pair[1] != 255] for pair in pairs]) for side in (0, 1))
    iou = [((answer == c) & (truth == c)).sum() / ((answer == c) | (truth == c)).sum() for c in (0, 1)]
    assert call("evaluate", runs["segmentation"], "--json").json["miou"] == pytest.approx(np.mean(iou), abs=1e-12)


def test_equal_names_get_the_folders_name_before_them(runs: dict[str, Path], tmp_path: Path) -> None:
    folder = data_of(runs, "segmentation")
    call("predict", runs["segmentation"], folder / "test" / "0.png", str(folder / "va*" / "0.png"), "--out", tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {"test_0.png", "val_0.png", "valannot_0.png"}


def test_answers_are_written_as_a_table(runs: dict[str, Path], task: str, tmp_path: Path) -> None:
    files = files_of_test(runs, task)
    assert call("predict", runs[task], *files, "--out", tmp_path / "a.csv").code == 0
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["input"] for row in rows] == files
    assert rows[0].keys() >= ({"target"} if task == "regression" else {"class_1"})


def test_what_does_not_fit_together_is_refused_by_name(runs: dict[str, Path], tmp_path: Path) -> None:
    for argv, message in (
        (["evaluate", runs["multi-label"], runs["regression"]], "of one task, and these models are of multi-label and"),
        (["evaluate", runs["classification"], "--data", data_of(runs, "segmentation")], "the model takes recordings"),
        (["evaluate", runs["multi-label"], "--data", data_of(runs, "regression")], "is data for regression, and the"),
        (["evaluate", runs["classification"], "--tta", "flip"], "no test-time augmentation 'flip' of recordings"),
        (["predict", runs["classification"], "x.wav", "--tta", "flip"], "no test-time augmentation 'flip'"),
        (["predict", runs["segmentation"], "x.png", "--runtime", "folded"], "folded is not for models of segmentation"),
        (["predict", runs["classification"], data_of(runs, "segmentation")], "There are no recordings in"),
        (["train", "finetune", "--data", data_of(runs, "multi-label")], "give --weights FILE"),
        (["train", "--monitor", "acuracy"], "did you mean 'accuracy'?"),
        (["train", "holdout=200", "--monitor", "map", "--out", tmp_path], "monitor takes a metric of classification"),
    ):
        result = call(*argv)
        assert result.code in (1, 2)
        assert message in result.err


def test_an_ensemble_of_a_model_with_itself_is_the_model(runs: dict[str, Path]) -> None:
    for task in ("multi-label", "regression"):
        one, two = (call("evaluate", *[runs[task]] * count, "--json").json for count in (1, 2))
        assert one[HEADLINES[task]] == pytest.approx(two[HEADLINES[task]], abs=1e-6)


def test_a_folder_of_recordings_is_answered(runs: dict[str, Path]) -> None:
    result = call("predict", runs["classification"], data_of(runs, "classification") / "test", "--json")
    assert (result.code, len(result.json["predictions"])) == (0, 8)


def test_files_of_new_tasks_are_of_format_2_and_come_back(runs: dict[str, Path], task: str) -> None:
    path = runs[task] / "model.safetensors"
    card = model_file.load(path)[1]
    assert (card.format, card.task) == (2, task)
    assert card.settings.name == task
    assert task != "multi-label" or card.settings != type(card.settings)()  # thresholds, as chosen on val
