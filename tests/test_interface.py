"""What scripts, notebooks and servers rely on: flags, JSON keys, file names, splits and exit codes.

A name that is removed or renamed here breaks somebody's program. A name of version 0.2 stays beside the new one for one
version: each line that says `0.2` goes in the version after. Longer than 300 lines because it is one list of names.
"""

from __future__ import annotations

import csv
import inspect
import json
import re
import shutil
from pathlib import Path

import pytest
import torch

import resnets
from resnets import cli
from resnets.checks.kinds import KINDS
from resnets.commands.command import Answer, Command
from tests.command_line import Result, call, write_photos

SMALL = ["model.depths=[1]", "model.widths=[4]", "model.stem_width=4", "precision=fp32"]
COLORS = ("blue", "red")

EVERY = {"--help", "--json", "--quiet", "--debug"}
FLAGS = {
    "train": {"--data", "--format", "--model", "--weights", "--size", "--teacher", "--epochs", "--minutes",
              "--large-batch", "--memory-limit", "--out", "--seed", "--device", "--precision", "--workers",
              "--checkpoint-minutes", "--checkpoint-steps", "--keep", "--monitor", "--rank-timeout", "--tensorboard",
              "--val-share", "--group-by", "--fold", "--balance", "--patience", "--unknown-below", "--accuracy",
              "--sweep", "--jobs", "--cluster", "--mlflow", "--wandb"},
    "resume": {"--data", "--epochs", "--memory-limit", "--rank-timeout"},
    "check": {"--format", "--only", "--skip", "--strict", "--fast", "--relabel", "--out", "--workers"},
    "replay": {"--step"},
    "evaluate": {"--data", "--format", "--split", "--tta", "--size", "--unknown-below", "--corruptions", "--out",
                 "--device", "--runtime", "--precision", "--calibrate", "--workers"},
    "compare": {"--data", "--format", "--split", "--metric", "--tta", "--size", "--out", "--device", "--workers"},
    "predict": {"--top", "--tta", "--size", "--unknown-below", "--min-score", "--draw-score", "--max-boxes",
                "--tile", "--overlap", "--out", "--device", "--runtime", "--precision", "--calibrate", "--workers"},
    "embed": {"--out", "--tta", "--size", "--device", "--workers"},
    "explain": {"--out", "--target", "--stage", "--size", "--device"},
    "similar": {"--data", "--format", "--split", "--top", "--size", "--out", "--device", "--workers"},
    "describe": {"--size", "--batch", "--train", "--memory-limit", "--precision"},
    "benchmark": {"--train", "--batch", "--size", "--steps", "--memory-limit", "--device", "--runtime", "--precision",
                  "--data", "--workers"},
    "reproduce": {"--data", "--seeds", "--models", "--epochs", "--out", "--device", "--workers", "--jobs", "--cluster",
                  "--runs"},
    "experiments": set(),
    "models": set(),
    "recipes": set(),
}  # fmt: skip

METRICS = {"accuracy", "top5", "balanced_accuracy", "macro_f1", "ece", "loss", "samples", "classes"}
EVALUATION = {"task", "data", "split", "excluded", "damaged", *METRICS}
TRAINING = {"folder", "model", "report", *EVALUATION}
CALIBRATED = {"temperature", "ece_uncalibrated"}  # where there is val, not all of which is right
PLANNED = {"event", "step", "total", "epochs", "evaluate_every", "reason", "used_seconds", "step_seconds",
           "evaluation_seconds", "ending_seconds"}  # fmt: skip
MEMORY = {"weights", "gradients", "optimizer", "average", "images", "kept", "work", "program",
          "pictures"}  # 0.2  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"), {"train": 6, "val": 6}, COLORS)


@pytest.fixture(scope="module")
def training(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Training with a monitored metric on a folder of two classes, with `train` and `val`."""
    argv = ["--data", photos, "--epochs", 2, "--monitor", "accuracy", "--seed", 0, "--device", "cpu", "--workers", 1]
    sizes = ["preprocessing.resize=16", "preprocessing.crop=16", "batch=4", "evaluate_every=1"]
    out = tmp_path_factory.mktemp("runs") / "photos"
    return call("train", "paper/cifar", *argv, *SMALL, *sizes, "--out", out, "--json")


@pytest.fixture(scope="module")
def run(training: Result) -> Path:
    return Path(training.json["folder"])


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Training on a dataset of ten classes, with `train` and `test`."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    return call("train", "digits", "steps=4", *SMALL, "--out", out, "--json", "--quiet")


def test_every_command_and_flag_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(cli.COMMANDS) == list(FLAGS)
    for name, flags in FLAGS.items():
        command = cli.find_command(name)
        assert isinstance(command, Command)
        assert cli.COMMANDS[name] == (inspect.getdoc(command.function) or "").partition("\n")[0]
        with pytest.raises(SystemExit) as ended:
            cli.main([name, "--help"])
        assert ended.value.code == 0
        shown = re.findall(r"^  (?:-\w, )?(--[a-z-]+)", capsys.readouterr().out, re.MULTILINE)
        assert set(shown) == flags | EVERY


def test_the_public_names_of_python() -> None:
    functions = {"benchmark", "check", "compare", "create", "describe", "embed", "evaluate", "explain", "large_batch",
                 "list_experiments", "list_models", "list_recipes", "load", "predict", "replay", "reproduce", "resume",
                 "save", "similar", "train"}  # fmt: skip
    data = {"CATALOG", "Event", "Model", "Preprocessing", "Recipe", "ResNet", "Run", "Scores", "Spec", "Subscriber",
            "__version__"}  # fmt: skip
    errors = {"DataError", "FileError", "PredictionError", "ResnetsError", "TrainingError", "UsageError"}
    assert set(resnets.__all__) == functions | data | errors
    assert all(callable(getattr(resnets, name)) for name in functions)


def test_train_answers_with_the_metrics_of_val(training: Result, photos: Path) -> None:
    answer = training.json
    assert answer.keys() - CALIBRATED == TRAINING | {"auc"}
    assert {key: answer[key] for key in ("task", "data", "split", "samples", "excluded", "damaged")} == {
        "task": "classification", "data": str(photos), "split": "val", "samples": 12, "excluded": 0, "damaged": {},
    }  # fmt: skip
    assert "val accuracy" in training.err  # progress


def test_without_val_the_metrics_are_those_of_test(digits: Result) -> None:
    assert digits.json.keys() == TRAINING
    assert (digits.json["data"], digits.json["split"], digits.json["samples"]) == ("digits", "test", 360)


def test_a_time_budget_is_planned_in_the_log(tmp_path: Path) -> None:
    length = ["--minutes", 60, "--epochs", 1]
    result = call("train", "digits", *SMALL, *length, "--workers", 0, "--out", tmp_path / "r", "--json")
    assert (result.code, set(result.json)) == (0, TRAINING)
    events = [json.loads(line) for line in (tmp_path / "r" / "log.jsonl").read_text().splitlines()]
    assert [event.keys() for event in events if event["event"] == "plan"] == [PLANNED]


def test_quiet_prints_the_answer_and_errors_only(digits: Result, run: Path) -> None:
    assert digits.err == ""
    assert len(call("resume", run, "--quiet").out.splitlines()) == 4
    loud, silent = (call("evaluate", run, *flags) for flags in ([], ["--quiet"]))
    assert (silent.out, silent.err) == (loud.out, "")
    assert "no run" in call("resume", "nowhere", "--quiet").err


def test_the_files_of_a_run(run: Path, training: Result, digits: Result) -> None:
    files = {"recipe.json", "log.jsonl", "checkpoint", "model.safetensors", "report.html", "predictions.csv"}
    assert {path.name for path in Path(digits.json["folder"]).iterdir()} == files
    assert {path.name for path in run.iterdir()} == files | {"best.safetensors", "last.safetensors"}
    assert (training.json["model"], training.json["report"]) == (
        str(run / "model.safetensors"), str(run / "report.html"),
    )  # fmt: skip


def test_resume_of_a_finished_run_answers_the_same(run: Path, training: Result) -> None:
    assert call("resume", run, "--json").json == training.json
    longer = call("resume", shutil.copytree(run, run.with_name("longer")), "--epochs", "+1", "--json").json
    assert longer.keys() - CALIBRATED == TRAINING | {"auc"}


def test_evaluate_answers_with_the_same_metrics(run: Path, training: Result, digits: Result, tmp_path: Path) -> None:
    answer = call("evaluate", run, "--out", tmp_path / "e", "--json").json
    assert answer.keys() - CALIBRATED == EVALUATION | {"auc"}
    assert answer["classes"].keys() == set(COLORS)
    assert all(each.keys() == {"precision", "recall", "f1", "support"} for each in answer["classes"].values())
    assert answer == {key: training.json[key] for key in answer}
    assert call("evaluate", digits.json["folder"], "--json").json.keys() == EVALUATION

    assert {path.name for path in (tmp_path / "e").iterdir()} == {
        "report.html", "metrics.json", "predictions.csv", "wrong_labels.csv",
    }  # fmt: skip
    assert json.loads((tmp_path / "e" / "metrics.json").read_text()) == answer
    with (tmp_path / "e" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0].keys() == {"image", "label", "predicted", "confidence", "loss",
                              "suspicion", "picture"}  # 0.2  # fmt: skip
    assert all(row["picture"] == row["image"] for row in rows)
    assert len(rows) == 12


def test_splits(run: Path, tmp_path: Path) -> None:
    assert call("evaluate", run, "--split", "train", "--json").json["split"] == "train"
    plain = write_photos(tmp_path / "plain", {"": 5}, COLORS)
    whole = call("evaluate", run, "--data", plain, "--json").json
    assert (whole["split"], whole["samples"], whole["data"]) == ("all", 10, str(plain))
    missing = call("evaluate", run, "--split", "test", "--json")
    assert (missing.code, missing.out, "no split 'test'" in missing.err) == (2, "", True)
    three = write_photos(tmp_path / "three", {"train": 1, "val": 2, "test": 3}, COLORS)
    assert [call("evaluate", run, "--data", three, *flags, "--json").json["samples"] for flags in (
        [], ["--split", "test"], ["--split", "val"], ["--split", "train"],
    )] == [6, 6, 4, 2]  # fmt: skip


def test_numbers_that_are_not_finite_are_null(run: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = resnets.load(run)
    with torch.no_grad():
        next(iter(model.network.parameters())).fill_(torch.nan)
    monkeypatch.setattr("resnets.artifacts.model.load", lambda *args, **more: model)
    answer = call("evaluate", run, "--json").json
    assert [answer[key] for key in ("loss", "ece", "auc", "accuracy")] == [None, None, None, 0]


def test_predict_answers_with_the_predictions_and_what_failed(run: Path, photos: Path, tmp_path: Path) -> None:
    image, damaged = str(photos / "val" / "red" / "0.jpg"), tmp_path / "damaged.png"
    damaged.write_bytes(b"no image")
    result = call("predict", run, image, damaged, "--top", 1, "--json")
    assert result.code == 1
    assert result.json.keys() == {"model", "task", "runtime", "predictions", "failed"}
    assert [result.json[key] for key in ("model", "task", "runtime")] == [str(run), "classification", "torch"]
    (prediction,) = result.json["predictions"]
    assert prediction.keys() == {"input", "classes",
                                 "image"}  # 0.2  # fmt: skip
    assert prediction["input"] == prediction["image"] == image
    assert [each.keys() for each in prediction["classes"]] == [{"name", "probability"}]
    assert [each.keys() for each in result.json["failed"]] == [{"input", "error"}]
    assert result.json["failed"][0]["input"] == str(damaged)
    assert result.err == ""
    shown = call("predict", run, image, damaged, "--quiet")
    assert (shown.code, len(shown.err.splitlines())) == (1, 1)


def test_replay(run: Path) -> None:
    answer = call("replay", run, "--step", 1, "--json").json
    assert answer.keys() == {"step", "loss", "gradient_norm", "layer", "during", "images", "blamed", "notes",
                             "pictures"}  # 0.2  # fmt: skip
    assert answer["pictures"] == answer["images"]
    assert len(answer["images"]) == 4


def test_describe(run: Path) -> None:
    spec = {"name", "spec", "size", "input_shape", "parameters", "multiply_adds", "layers", "stage_channels",
            "stage_strides", "classes", "weights_sha256", "memory", "recomputed"}  # fmt: skip
    assert call("describe", "resnet18", "--json").json.keys() == spec
    card = {"task", "preprocessing", "recipe", "environment", "metrics", "version"}
    assert call("describe", run, "--json").json.keys() == spec | card
    answer = call("describe", "resnet18", "--batch", 2, "--train", "--memory-limit", "1GiB", "--json").json
    assert answer.keys() == {*spec, "peak_memory_bytes"}
    assert answer["memory"].keys() == MEMORY
    assert answer["memory"]["pictures"] == answer["memory"]["images"]


def test_benchmark() -> None:
    answer = call("benchmark", "cifar_resnet20", "--batch", 2, "--size", 8, "--steps", 1, "--workers", 1, "--json").json
    assert answer.keys() == {"model", "size", "peak_memory_bytes", "predicted_peak_memory_bytes", "training",
                             "inference", "loading"}  # fmt: skip
    assert answer["training"].keys() == {"batch", "images_per_second", "seconds", "loss", "peak_memory_bytes",
                                         "predicted_peak_memory_bytes", "predicted_parts", "recomputed",
                                         "environment"}  # fmt: skip
    assert answer["training"]["predicted_parts"].keys() == MEMORY
    assert answer["inference"].keys() == {"batch", "runtime", "precision", "images_per_second", "milliseconds_median",
                                          "milliseconds_95", "share_of_ceiling", "environment"}  # fmt: skip
    assert answer["loading"].keys() == {"batch", "images_per_second", "workers", "images", "data", "notes",
                                        "pictures"}  # 0.2  # fmt: skip
    assert answer["loading"]["pictures"] == answer["loading"]["images"]


def test_check(photos: Path, tmp_path: Path) -> None:
    answer = call("check", photos, "--out", tmp_path, "--json").json
    assert answer == {"data": str(photos), "format": "folders", "samples": {"train": 12, "val": 12},
                      "classes": dict.fromkeys(COLORS, 12), "problems": []}  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"check.html", "check.json"}
    odd = shutil.copytree(photos, tmp_path / "odd")
    (odd / "val" / "red" / "0.jpg").write_bytes(b"")
    result = call("check", odd, "--json")
    assert (result.code, len(result.json["problems"])) == (1, 1)
    assert result.json["problems"][0] == {
        "kind": "empty_file", "severity": "error", "path": str(odd / "val" / "red" / "0.jpg"), "related": [],
        "box": None, "detail": result.json["problems"][0]["detail"],
    }  # fmt: skip
    assert set(KINDS) == {
        "unreadable", "truncated", "empty_file", "too_large", "odd_mode", "transparency", "orientation", "animation",
        "constant", "odd_size", "hidden", "loose_file", "not_an_image", "name_collision", "empty_class", "small_class",
        "missing_class", "imbalance", "duplicate", "near_duplicate", "split_leak", "label_conflict", "group_leak",
        "missing_file", "missing_annotation", "orphan_annotation", "unknown_class", "degenerate_box", "outside_box",
        "duplicate_box", "tiny_box", "huge_box", "mask_size", "mask_value", "bad_row", "check_failed",
    }  # fmt: skip


def test_lists() -> None:
    models, recipes = call("models", "--json").json["models"], call("recipes", "--json").json["recipes"]
    assert [each["name"] for each in models] == list(resnets.CATALOG)
    assert [each["name"] for each in recipes] == list(resnets.list_recipes())
    assert models[0].keys() == {"name", "parameters", "multiply_adds", "size"}
    assert recipes[0].keys() == {"name", "recipe", "about"}
    assert call("experiments", "--json").json == {"experiments": resnets.list_experiments()}


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["models"], 0),
        (["train", "--data", "nowhere"], 1),
        (["predict", "nowhere", "x.png"], 1),
        (["check", "nowhere"], 2),
        (["describe", "resnet5000"], 2),
        (["train", "--no-such-flag"], 2),
        (["no-such-command"], 2),
        ([], 2),
    ],
)
def test_exit_codes(argv: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*argv)
    assert result.code == code
    assert bool(result.out) == (code == 0)
    assert len(result.err.splitlines()) == (code != 0)


def test_the_exit_code_of_an_interrupted_command_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(invocation: object) -> Answer:
        raise KeyboardInterrupt

    monkeypatch.setattr("resnets.commands.models.COMMAND", Command(resnets.list_models, interrupted))
    assert call("models") == Result(130, "", "resnets: Stopped.\n")


def test_train_on_all_folds(photos: Path, tmp_path: Path) -> None:
    sizes = ["preprocessing.resize=16", "preprocessing.crop=16", "batch=4", "steps=2"]
    argv = ["paper/cifar", "--data", photos, *SMALL, *sizes, "--fold", "all/2", "--out", tmp_path / "r", "--json"]
    answer = call("train", *argv).json
    metrics = {"accuracy", "top5", "loss", "balanced_accuracy", "macro_f1", "auc"}
    assert answer.keys() == {"folder", "task", "data", "split", "samples", "deviation", "folds", *metrics}
    assert answer["deviation"].keys() == metrics
    assert [each.keys() for each in answer["folds"]] == [{"fold", "folder", "samples", *metrics}] * 2
    assert (answer["split"], answer["samples"]) == ("test", 24)
    assert {path.name for path in (tmp_path / "r").iterdir()} == {"folds.json", "fold-1", "fold-2"}
    assert call("resume", tmp_path / "r", "--json").json == answer
