"""The command in a report, given to a shell's words again: it trains the model of that run."""

from __future__ import annotations

import csv
import html
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import sklearn.datasets

import resnets
from resnets.artifacts import model_file
from resnets.cli import main
from tests.training.cut import Cut, wait_for_checkpoints

SMALL = ("model.depths=[1,1]", "model.widths=[4,8]", "model.stem_width=4", "batch=64", "evaluate_every=0.2")


def weights(folder: Path) -> str:
    return model_file.weights_sha256(model_file.load(folder / "model.safetensors")[0])


def command(folder: Path) -> str:
    """What the report says repeats the run."""
    found = re.search(r"<td>To repeat it</td><td><code>(.*?)</code>", (folder / "report.html").read_text())
    assert found is not None
    return html.unescape(found[1])


def repeat(folder: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The run of that command, in a folder of its own."""
    for part in command(folder).split(" && "):
        name, *words = shlex.split(part)
        assert name == "resnets"
        assert main([str(out) if word == "FOLDER" else word for word in words]) == 0
    capsys.readouterr()
    return out


def trained(out: Path, *more: str, **settings: Any) -> Path:
    chosen: dict[str, Any] = {"device": "cpu", "epochs": 0.4} | settings
    resnets.train("digits", *SMALL, *more, out=out, **chosen)
    return out


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": 3},
        {"val_share": 0.3, "monitor": "loss", "accuracy": 0.9},
        {"val_share": 0.3, "patience": 1, "epochs": 4.0},
        {"fold": "2/3"},
        {"balance": "sampling", "group_by": "[0-9]$", "val_share": 0.3},
    ],
    ids=["seed", "monitor", "patience", "fold", "groups"],
)
def test_the_command_trains_the_same_model(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path / "a run", **settings)
    again = repeat(run, tmp_path / "again", capsys)
    assert weights(again) == weights(run)
    assert (again / "predictions.csv").read_text() == (run / "predictions.csv").read_text()


@pytest.mark.slow
def test_of_a_run_that_was_cut_off_and_of_one_that_was_made_longer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = trained(tmp_path / "whole")

    def cut(event: dict[str, Any]) -> None:
        if event.get("step") == 5:
            raise Cut

    with pytest.raises(Cut):
        trained(tmp_path / "cut", checkpoint_steps=2, subscribers=(cut,))
    wait_for_checkpoints()
    resnets.resume(tmp_path / "cut")
    assert command(tmp_path / "cut") == command(whole).replace(str(whole), str(tmp_path / "cut"))
    pages = [(each / "report.html").read_text().replace(str(each), "") for each in (whole, tmp_path / "cut")]
    assert pages[0] == pages[1]
    run = trained(tmp_path / "longer")
    resnets.resume(run, epochs="+0.2")
    assert command(run).endswith("&& resnets resume FOLDER --epochs +0.2")
    again = repeat(run, tmp_path / "again", capsys)
    assert weights(again) == weights(run) != weights(whole)


@pytest.mark.slow
def test_each_run_of_folds_and_of_a_sweep_has_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folds = trained(tmp_path / "folds", fold="all/2")
    swept = trained(tmp_path / "sweep", sweep=("seed=0,1",), val_share=0.2)
    for run in (folds / "fold-2", swept / "run-2"):
        again = repeat(run, tmp_path / f"again-{run.name}", capsys)
        assert weights(again) == weights(run)


@pytest.mark.slow
def test_of_a_time_budget_the_length_is_what_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(tmp_path / "run", epochs=1, minutes=5)
    page = (run / "report.html").read_text()
    assert "<td>Time budget</td><td>5 minutes: how many steps fit depends on the machine</td>" in page
    assert weights(repeat(run, tmp_path / "again", capsys)) == weights(run)  # an epoch fits


def test_data_in_memory_is_given_again(tmp_path: Path) -> None:
    digits = sklearn.datasets.load_digits()
    data = (digits.images.astype("uint8"), digits.target)
    run = resnets.train("digits", *SMALL, data=data, device="cpu", epochs=0.2, val_share=0.2, monitor="loss",
                        out=tmp_path / "run").folder  # fmt: skip
    names = {"resnets": resnets, "DATA": data}
    eval(command(run).replace("FOLDER", str(tmp_path / "again")), names)
    assert weights(tmp_path / "again") == weights(run)


def test_the_answers_beside_a_run_are_those_of_evaluate(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", val_share=0.3)
    resnets.evaluate(run, split="val", device="cpu", out=tmp_path / "e")
    assert (tmp_path / "e" / "predictions.csv").read_text() == (run / "predictions.csv").read_text()
    with open(run / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0].keys() >= {"image", "label", "predicted", "confidence", "loss"}
    assert '<a href="predictions.csv">predictions.csv</a>' in (run / "report.html").read_text()
