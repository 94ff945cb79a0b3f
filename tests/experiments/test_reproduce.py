"""Experiments: run, interrupted and resumed, read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.cli import main
from resnets.core.errors import UsageError
from resnets.experiments.catalog import EXPERIMENTS
from resnets.experiments.reproduce import _claim
from tests.training.runs import make_images

NETS = "cifar_plain20,cifar_resnet20"
SHORT: dict[str, Any] = {"data": "digits", "seeds": 2, "models": NETS, "epochs": 0.5}


class Cut(BaseException):
    """Interrupts an experiment; not caught as an Exception."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("experiments") / "figure6"
    resnets.reproduce("figure6", out=out, **SHORT)
    return out


def results(folder: Path) -> dict[str, Any]:
    """results.json without what depends on time and place."""
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    for net in found["nets"]:
        for run in net["runs"]:
            del run["seconds"]
    return {name: found[name] for name in ("experiment", "nets", "data", "length")}


@pytest.mark.slow
def test_results_have_each_net_and_seed_by_epoch(whole: Path) -> None:
    found = results(whole)
    assert [net["net"] for net in found["nets"]] == NETS.split(",")
    for net in found["nets"]:
        assert [run["seed"] for run in net["runs"]] == [0, 1]
        for run in net["runs"]:
            assert len(run["train_error"]) == len(run["test_error"]) == len(run["epoch"]) == 1
            assert run["final_test_error"] == run["test_error"][-1]
    first = whole / "runs" / "cifar_resnet20-1"
    scored = resnets.evaluate(first, split="train")
    assert found["nets"][1]["runs"][1]["train_error"] == [1 - scored.accuracy]
    assert found["nets"][1]["runs"][1]["test_error"] == [1 - resnets.evaluate(first).accuracy]


def test_the_page_is_made_of_the_results(whole: Path) -> None:
    page = (whole / "README.md").read_text()
    runs = results(whole)["nets"][0]["runs"]
    errors = [100 * run["final_test_error"] for run in runs]
    mean = sum(errors) / 2
    deviation = abs(errors[0] - errors[1]) / 2**0.5
    assert f"{mean:.2f} ± {deviation:.2f}" in page
    assert "resnets reproduce figure6 --data digits --seeds 2" in page
    assert (whole / "figure.png").read_bytes().startswith(b"\x89PNG")
    html = (whole / "index.html").read_text()
    assert html.count("<svg ") == 1
    assert "currentColor" in html
    assert f"<td>{mean:.2f} ± {deviation:.2f}</td>" in html
    assert not re.search("https?:|src=", html)


@pytest.mark.parametrize(("count", "jobs"), [pytest.param(1, None, marks=pytest.mark.slow), (3, 1)])
def test_interrupted_and_run_again_it_ends_with_the_same_table(
    count: int, jobs: int | None, whole: Path, tmp_path: Path
) -> None:
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        if len(lines) == count:
            raise Cut

    with pytest.raises(Cut):
        resnets.reproduce("figure6", out=tmp_path / "r", log=log, jobs=jobs, **SHORT)
    resnets.reproduce("figure6", out=tmp_path / "r", jobs=jobs, **SHORT)
    assert results(tmp_path / "r") == results(whole)


def test_finished_runs_are_not_repeated_and_more_seeds_are_added(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = results(whole)
    lines: list[str] = []
    resnets.reproduce("figure6", out=whole, log=lines.append, **SHORT)
    assert lines == []
    assert results(whole) == before
    argv = ["reproduce", "figure6", "--data", "digits", "--epochs", "0.5", "--out", str(whole)]
    assert main([*argv, "--seeds", "3", "--models", "cifar_plain20"]) == 0
    shown = capsys.readouterr().out
    assert "seed 2: done" in shown
    assert "seed 1" not in shown
    assert resnets.reproduce("figure6", out=whole, **SHORT).table[1][0] == "cifar_plain20"


def test_a_folder_holds_one_experiment(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds figure6 with other settings"):
        resnets.reproduce("figure6", out=whole, **{**SHORT, "epochs": 2.0})
    with pytest.raises(UsageError, match="holds figure6 with other settings"):
        resnets.reproduce("table6", out=whole, **{**SHORT, "models": "cifar_resnet20"})
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match="already holds something else"):
        resnets.reproduce("figure6", out=tmp_path, **SHORT)
    with pytest.raises(UsageError, match="table6"):
        resnets.reproduce("table66")
    with pytest.raises(UsageError, match="give --data FOLDER"):
        resnets.reproduce("table2", out=tmp_path / "t")


def test_experiments_share_trained_nets(whole: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    found = resnets.reproduce("figure7", out=tmp_path / "r", runs=whole / "runs", log=lines.append, jobs=1, **SHORT)
    assert len(lines) == 4
    assert not any("epoch" in line for line in lines)
    assert not (tmp_path / "r" / "runs").exists()
    errors = [run["final_test_error"] for net in found.results["nets"] for run in net["runs"]]
    assert errors == [run["final_test_error"] for net in results(whole)["nets"] for run in net["runs"]]
    with pytest.raises(UsageError, match="was trained with other settings \\(batch differ\\)"):
        resnets.reproduce("figure7", "batch=32", out=tmp_path / "s", runs=whole / "runs", jobs=1, **SHORT)


SMALL = {
    "table6": "cifar_resnet20",
    "figure7": NETS,
    "gradient-flow": "cifar_resnet20,cifar_plain20_no_norm",
    "lesion": NETS,
    "shattered-gradients": "cifar_plain8,cifar_resnet8",
    "depth-scaling": "cifar_plain8,cifar_resnet8",
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in ("table6", "lesion"))) for name in SMALL]
)
def test_every_cifar_experiment_runs(name: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"data": "digits", "seeds": 1, "models": SMALL[name], "epochs": 0.3}
    found = resnets.reproduce(name, out=tmp_path / "r", jobs=1, **settings)
    assert [row[0] for row in found.table[1:]] == SMALL[name].split(",")
    assert "not measured" not in str(found.table)
    assert (found.folder / "figure.png").stat().st_size > 5000


IMAGENET = {"table2": "plain18", "figure4": "resnet18_a", "table3": "resnet34_a", "table4": "resnet34"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*IMAGENET, "table5"])
def test_every_imagenet_experiment_runs_on_a_folder(name: str, tmp_path: Path) -> None:
    data = make_images(tmp_path / "data", train=4, val=2)
    models, seeds = ("resnet18", 2) if name == "table5" else (IMAGENET[name], 1)
    found = resnets.reproduce(name, data=str(data), seeds=seeds, models=models, epochs=10, out=tmp_path / "r")
    assert found.table[1][0] == models
    assert len(found.table) == (3 if name == "table5" else 2)
    assert "not measured" not in str(found.table)


def test_the_experiments_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiments"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in EXPERIMENTS)
    assert set(EXPERIMENTS) == {
        "table2", "table3", "table4", "table5", "table6", "figure4", "figure6", "figure7",
        "gradient-flow", "lesion", "shattered-gradients", "depth-scaling",
    }  # fmt: skip


def test_notes_of_the_data_are_printed_once_and_errors_called_by_their_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_images(tmp_path / "data", train=3, val=1)
    (data / "train" / "class0" / "gone.png").symlink_to("nowhere.png")
    settings = ["preprocessing.resize=8", "preprocessing.crop=8", "batch=4", "steps=1"]
    options = [
        "--data",
        str(data),
        "--seeds",
        "2",
        "--models",
        "cifar_resnet20",
        "--jobs",
        "1",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(["reproduce", "figure6", *settings, *options]) == 0
    shown = capsys.readouterr().out
    assert shown.count("links that lead nowhere were left out (1): class0/gone.png.") == 1
    assert "val error" in shown
    assert "The test errors are those of its split val." in (tmp_path / "out" / "README.md").read_text()


def test_a_folder_of_a_version_with_fewer_settings_is_continued(tmp_path: Path) -> None:
    experiment = EXPERIMENTS["figure6"]
    recipe = experiment.recipe("digits")
    _claim(tmp_path, experiment, recipe)
    path = tmp_path / "experiment.json"
    written = json.loads(path.read_text())
    del written["recipe"]["deterministic"]
    path.write_text(json.dumps(written))
    _claim(tmp_path, experiment, recipe)
    with pytest.raises(UsageError, match="with other settings"):
        _claim(tmp_path, experiment, recipe.with_length(epochs=1.5))
    with pytest.raises(UsageError, match="with other settings"):
        _claim(tmp_path, EXPERIMENTS["gradient-flow"], recipe)
