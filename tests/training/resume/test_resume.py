"""A run that was cut off goes on bit for bit where it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.cli import main
from resnets.core.errors import DataError, FileError, UsageError
from resnets.training import checkpoint
from resnets.training.lock import locked
from tests.training.cut import cut_after, wait_for_checkpoints
from tests.training.resume.conftest import EVERY
from tests.training.runs import arguments, curve, events, sha_of


def test_workers_and_checkpoints_change_nothing(data: Path, whole: Path, tmp_path: Path) -> None:
    assert main(arguments(data, tmp_path / "r", "--workers", "4", "--checkpoint-minutes", "0")) == 0
    assert sha_of(tmp_path / "r") == sha_of(whole)
    assert curve(tmp_path / "r") == curve(whole)


@pytest.mark.parametrize(
    "step", [pytest.param(10, marks=pytest.mark.slow), 25, 40, pytest.param(60, marks=pytest.mark.slow)]
)
def test_a_resumed_run_ends_as_the_uninterrupted_one(step: int, data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    cut_after(data, out, step)
    saved = checkpoint.steps(out / "checkpoint")
    assert saved
    received: list[dict[str, Any]] = []
    resnets.resume(out, subscribers=(received.append,))
    assert any(f"Going on after step {saved[0]} of 60" in note for note in received[0]["notes"])
    assert sha_of(out) == sha_of(whole)
    assert curve(out) == curve(whole)
    assert (out / "report.html").exists()


def test_a_resumed_plateau_remembers(data: Path, tmp_path: Path) -> None:
    more = ("schedule=Plateau", "schedule.patience=1", "schedule.threshold=0.5")
    assert main(arguments(data, tmp_path / "whole", *EVERY, *more)) == 0
    cut_after(data, tmp_path / "cut", 40, *more)
    resnets.resume(tmp_path / "cut")
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    assert len({e["lr"] for e in events(tmp_path / "whole") if e["event"] == "step"}) > 2


@pytest.mark.slow
def test_adamw_resumes_too(data: Path, tmp_path: Path) -> None:
    more = ("optimizer=AdamW",)
    assert main(arguments(data, tmp_path / "whole", *EVERY, *more)) == 0
    cut_after(data, tmp_path / "cut", 30, *more)
    resnets.resume(tmp_path / "cut")
    assert sha_of(tmp_path / "cut") == sha_of(tmp_path / "whole")


def test_before_the_first_checkpoint_it_starts_over(data: Path, whole: Path, tmp_path: Path) -> None:
    cut_after(data, tmp_path / "r", 5)
    checkpoint.remove(tmp_path / "r" / "checkpoint", checkpoint.steps(tmp_path / "r" / "checkpoint"))
    resnets.resume(tmp_path / "r")
    assert sha_of(tmp_path / "r") == sha_of(whole)
    assert [e["event"] for e in events(tmp_path / "r")].count("start") == 1


def test_on_a_finished_run_it_says_so(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (whole / "model.safetensors").stat().st_mtime_ns
    assert main(["resume", str(whole)]) == 0
    assert "finished already" in capsys.readouterr().out
    assert (whole / "model.safetensors").stat().st_mtime_ns == before


def test_train_on_an_existing_run_says_what_to_do(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--out", str(whole)]) == 2
    assert f"resnets resume {whole}" in capsys.readouterr().err


def test_a_checkpoint_of_another_recipe_is_refused(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    cut_after(data, out, 20)
    plan = json.loads((out / "recipe.json").read_text())
    plan["recipe"]["optimizer"]["lr"] = 0.5
    (out / "recipe.json").write_text(json.dumps(plan))
    with pytest.raises(FileError, match="belongs to another recipe"):
        resnets.resume(out)


def test_other_data_is_refused(data: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(data, tmp_path / "data")
    cut_after(moved, tmp_path / "r", 20)
    (moved / "train" / "class0" / "000.png").unlink()
    with pytest.raises(DataError, match="does not hold the training samples"):
        resnets.resume(tmp_path / "r")


def test_two_processes_do_not_share_a_run(data: Path, tmp_path: Path) -> None:
    cut_after(data, tmp_path / "r", 20)
    with locked(tmp_path / "r" / "checkpoint"), pytest.raises(UsageError, match="Another process trains in"):
        resnets.resume(tmp_path / "r")


def test_the_best_model_is_kept_beside_the_last(data: Path, tmp_path: Path) -> None:
    assert main(arguments(data, tmp_path / "r", "--monitor", "loss")) == 0
    losses = [e["loss"] for e in events(tmp_path / "r") if e["event"] == "evaluation"]
    best = resnets.load(tmp_path / "r" / "best.safetensors")
    assert best.card.metrics["loss"] == min(losses)


def test_a_step_after_a_drop_of_the_rate_is_replayed_at_the_rate_of_the_run(data: Path, tmp_path: Path) -> None:
    more = ("schedule=Plateau", "schedule.patience=1", "schedule.threshold=0.5")
    out = tmp_path / "r"
    assert main(arguments(data, out, *EVERY, *more, "--keep", "20")) == 0
    rates = {e["step"]: e["lr"] for e in events(out) if e["event"] == "step"}
    step = max(rates)
    expected = resnets.replay(out, step=step)
    wait_for_checkpoints()
    checkpoint.remove(out / "checkpoint", [each for each in checkpoint.steps(out / "checkpoint") if each > 10])
    assert len({rate for each, rate in rates.items() if 10 < each <= step}) > 1
    found = resnets.replay(out, step=step)
    assert (found.loss, found.gradient_norm) == (expected.loss, expected.gradient_norm)
