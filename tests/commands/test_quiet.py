"""What calls from Python show: progress on a terminal and in a notebook, nothing in logs, and with `quiet` nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resnets
from resnets.cli import main
from resnets.commands.training_run import Run
from resnets.core import progress
from tests.conftest import noise
from tests.notebook import Display, Terminal

SMALL = ("model.depths=[1]", "model.widths=[4]", "model.stem_width=4", "precision=fp32")


def train(out: Path, steps: int = 12, **options: Any) -> Run:
    return resnets.train("digits", *SMALL, f"steps={steps}", "evaluate_every=0.5", out=out, device="cpu", **options)


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Makes standard error a terminal. (Not in a fixture: pytest captures anew when the test begins.)"""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def test_on_a_terminal_a_run_shows_a_bar_and_with_quiet_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = terminal(monkeypatch)
    train(tmp_path / "a")
    assert "1,437 images to train on" in shown.getvalue()
    assert "100%" in shown.getvalue()
    assert capsys.readouterr().out == ""
    said = len(shown.getvalue())
    train(tmp_path / "b", quiet=True)
    assert len(shown.getvalue()) == said
    resnets.resume(tmp_path / "b", epochs="+1")
    assert len(shown.getvalue()) > said


def test_elsewhere_a_run_shows_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path / "a")
    resnets.evaluate(tmp_path / "a")
    assert capsys.readouterr() == ("", "")


def test_in_a_notebook_a_run_is_one_output_of_bounded_length(notebook: Display, tmp_path: Path) -> None:
    train(tmp_path / "a", steps=200)
    (text,) = notebook.texts()
    lines = text.split("\n")
    assert "1,437 images to train on" in lines[0]
    assert lines[-1].startswith("█" * 30 + " 100%  epoch ")
    assert sum(line.startswith("epoch ") for line in lines) == 12  # of 34 evaluations
    train(tmp_path / "b", quiet=True)
    assert len(notebook.texts()) == 1


def test_other_calls_show_a_line(notebook: Display, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY", 0.0)
    train(tmp_path / "a", quiet=True)
    model = resnets.load(tmp_path / "a")
    for quiet in (False, True):
        resnets.evaluate(model, data="digits", quiet=quiet)
        resnets.predict(model, (noise(9, 9, seed=seed) for seed in range(5)), quiet=quiet)
        resnets.benchmark("cifar_resnet20", batch=2, steps=1, train=True, quiet=quiet)
    assert notebook.texts() == ["evaluate  360 of 360 images", "predict  5 images", "benchmark  training, 1 step"]


def test_the_command_line_shows_its_own_progress_alone(
    tmp_path: Path, notebook: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = terminal(monkeypatch)
    given = ["digits", *SMALL, "steps=4", "--device", "cpu"]
    assert main(["train", *given, "--out", str(tmp_path / "a")]) == 0
    assert main(["train", *given, "--out", str(tmp_path / "b"), "--quiet"]) == 0
    assert (shown.getvalue(), notebook.texts()) == ("", [])


def test_progress_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal(monkeypatch)
    sums = set()
    for name, quiet in (("a", True), ("b", False)):
        described = resnets.describe(train(tmp_path / name, quiet=quiet).model)
        sums.add(described.weights_sha256)
    assert len(sums) == 1
    assert np.isfinite(train(tmp_path / "c", quiet=np.bool_(True)).metrics["loss"])
