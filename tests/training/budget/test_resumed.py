"""A run with a time budget that is cut off follows the plans that were made before, to the bit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resnets
from resnets.cli import main
from resnets.training import checkpoint, time_budget
from resnets.training.budget import BudgetState, TimeBudget
from resnets.training.build import build_training
from resnets.training.distributed import Ranks
from resnets.training.extension import phases_of
from resnets.training.length import PlannedLength
from resnets.training.plan import read_plan
from resnets.training.prepare import reopen
from resnets.training.run_folder import RunFolder
from resnets.training.schedules import factor
from resnets.training.used_time import read_used
from tests.training.cut import cut_after, wait_for_checkpoints
from tests.training.runs import arguments, curve, events, sha_of

PLANS = {12: 50, 30: 44}  # the total that is planned when so many steps are done; at first 60
GROWING = (
    "normalize=channels",
    'augmentations.progressive_resize={"start": 8, "stop": 16, "since": 0.1, "until": 0.9, "multiple": 2}',
)
OPTIONS: dict[str, Any] = {"minutes": 5.0, "keep": 20, "workers": 2}


@pytest.fixture(autouse=True)
def _planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans as in `PLANS`, whatever a step takes."""
    state = BudgetState(used=0.0, step=0.01, evaluation=0.01, ending=0.01)
    monkeypatch.setattr(time_budget, "measure", lambda *args: state)
    monkeypatch.setattr(TimeBudget, "first", lambda *args: PlannedLength(step=0, total=60, evaluate_every=0.5))
    plan_anew(monkeypatch, PLANS)


def plan_anew(monkeypatch: pytest.MonkeyPatch, plans: dict[int, int]) -> None:
    monkeypatch.setattr(TimeBudget, "proposal", lambda self, length, step: plans.get(step, 0))


def trained(data: Path, out: Path, *more: str) -> Path:
    settings = [a for a in arguments(data, out, *more) if "=" in a]
    resnets.train("paper/cifar", *settings, data=data, out=out, checkpoint_steps=5, **OPTIONS)
    return out


def plans_of(run: Path) -> list[tuple[int, int]]:
    return [(e["step"], e["total"]) for e in events(run) if e["event"] == "plan"]


def keep_checkpoints_up_to(run: Path, step: int) -> None:
    wait_for_checkpoints()
    checkpoint.remove(run / "checkpoint", [each for each in checkpoint.steps(run / "checkpoint") if each > step])


@pytest.fixture
def whole(data: Path, tmp_path: Path) -> Path:
    return trained(data, tmp_path / "whole")


def test_each_plan_is_an_event_and_the_rates_follow_it(whole: Path) -> None:
    assert plans_of(whole) == [(0, 60), (12, 50), (30, 44)]
    lines = events(whole)
    keys = {"event", "step", "total", "epochs", "evaluate_every", "reason", "used_seconds", "step_seconds",
            "evaluation_seconds", "ending_seconds"}  # fmt: skip
    planned = [e for e in lines if e["event"] == "plan"]
    assert [e.keys() == keys for e in planned] == [True] * 3
    assert [e["reason"] for e in planned] == ["first plan", "slower", "slower"]
    assert [e["epochs"] for e in planned] == [6, 5, 4.4]
    assert [e["step"] for e in lines if e["event"] == "evaluation"][-2:] == [40, 44]
    recipe = read_plan(whole / "recipe.json").recipe
    done = 12 / 60 + (1 - 12 / 60) * 18 / 38
    for event in (e for e in lines if e["event"] == "step"):
        share = float(np.interp(event["step"] - 1, [0, 12, 30, 44], [0, 12 / 60, done, 1]))
        assert event["lr"] == pytest.approx(recipe.optimizer.lr * factor(recipe.schedule, share))
    assert "4.4 epochs, 44 steps" in (whole / "report.html").read_text()


@pytest.mark.parametrize(("total", "is_short"), [(29, True), (30, False)])
def test_a_run_that_became_far_shorter_says_so(
    total: int,
    is_short: bool,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan_anew(monkeypatch, {12: total})
    out = trained(data, tmp_path / "short")
    warned = [event["message"] for event in events(out) if event["event"] == "warning"]
    assert len(warned) == is_short
    assert ("29 of the 60 steps that were planned first fitted" in capsys.readouterr().err) == is_short


@pytest.mark.parametrize(
    "step", [8, pytest.param(20, marks=pytest.mark.slow), pytest.param(35, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("more", [pytest.param((), marks=pytest.mark.slow), GROWING], ids=["one size", "growing"])
def test_a_run_that_is_cut_off_ends_as_the_one_that_was_not(
    step: int, more: tuple[str, ...], data: Path, tmp_path: Path
) -> None:
    whole, out = trained(data, tmp_path / "whole", *more), tmp_path / "cut"
    cut_after(data, out, step, *more, epochs=6, **OPTIONS)
    resnets.resume(out)
    assert plans_of(out) == plans_of(whole)
    assert len(plans_of(out)) == 3
    assert sha_of(out) == sha_of(whole)
    assert curve(out) == curve(whole)
    assert read_plan(out / "recipe.json").lengths == read_plan(whole / "recipe.json").lengths


def test_what_was_planned_before_the_checkpoint_stays_and_the_rest_is_planned_anew(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "cut"
    cut_after(data, out, 35, epochs=6, **OPTIONS)
    assert plans_of(out) == [(0, 60), (12, 50), (30, 44)]
    keep_checkpoints_up_to(out, 25)
    plan_anew(monkeypatch, {26: 55})
    received: list[dict[str, Any]] = []
    resnets.resume(out, subscribers=(received.append,))
    assert any("Going on after step 25 of 50" in note for note in received[0]["notes"])
    assert plans_of(out) == [(0, 60), (12, 50), (26, 55)]
    assert curve(out)[-1][1] == 55


@pytest.mark.parametrize("noted", ["", "1", "nan", "-3", "1e999", "soon"])
def test_a_note_of_seconds_that_is_of_no_use_is_ignored(noted: str, tmp_path: Path) -> None:
    (tmp_path / "used_seconds").write_text(noted)
    assert read_used(tmp_path) == (1 if noted == "1" else 0)


def test_the_seconds_used_are_in_the_checkpoint_and_in_a_note(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "cut"
    cut_after(data, out, 20, epochs=6, **OPTIONS)
    saved = max((out / "checkpoint").glob("*.json"))
    state = json.loads(saved.read_text())["memory"]
    assert [each["total"] for each in state["lengths"]] == [60, 50]
    assert state["budget"].keys() == {"used", "step", "evaluation", "ending"}
    assert 0 < state["budget"]["used"] < 300
    noted = out / "checkpoint" / "used_seconds"
    noted.write_text("100\n")  # what was done after the checkpoint counts as well
    begun: list[float] = []

    def proposal(self: TimeBudget, length: Any, step: int) -> int:
        begun.append(self.used)
        return 0

    monkeypatch.setattr(TimeBudget, "proposal", proposal)
    resnets.resume(out)
    assert 100 < begun[0] < 300
    assert 100 < float(noted.read_text()) < 300


@pytest.mark.slow
def test_a_step_is_replayed_by_the_plans_of_its_run(whole: Path, data: Path, tmp_path: Path) -> None:
    expected = {step: resnets.replay(whole, step=step) for step in (34, 43)}
    with pytest.raises(resnets.UsageError, match="steps 1 to 44"):
        resnets.replay(whole, step=45)
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    keep_checkpoints_up_to(copy, 10)  # so that both changes of plan are replayed
    found = resnets.replay(copy, step=43)
    assert (found.loss, found.gradient_norm) == (expected[43].loss, expected[43].gradient_norm)
    out = tmp_path / "cut"  # not finished: the plans are in its log
    cut_after(data, out, 35, epochs=6, **OPTIONS)
    keep_checkpoints_up_to(out, 10)
    found = resnets.replay(out, step=34)
    assert (found.loss, found.gradient_norm) == (expected[34].loss, expected[34].gradient_norm)


def test_a_finished_run_is_made_longer_from_where_it_ended(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [(each.step, each.total) for each in read_plan(whole / "recipe.json").lengths] == plans_of(whole)
    assert resnets.resume(whole).was_finished
    assert main(["resume", str(whole), "--epochs", "+1"]) == 0
    extension = next(e for e in events(whole) if e["event"] == "extension")
    assert (extension["step"], extension["steps"]) == (44, 54)
    assert len(plans_of(whole)) == 3
    assert resnets.replay(whole, step=43).step == 43


def test_a_run_whose_crops_grew_is_made_longer_at_their_last_size(data: Path, tmp_path: Path) -> None:
    """Though no length but the budget was given, or patience ended it before its schedule."""
    run = trained(data, tmp_path / "r", *GROWING)
    resnets.resume(run, epochs="+1")
    plan = read_plan(run / "recipe.json")
    opened = reopen(plan, RunFolder(run))
    for recipe in (plan.recipe, replace(plan.recipe, epochs=None)):
        phase = phases_of(replace(plan, recipe=recipe), len(opened.train))[-1]
        _, batches = build_training(replace(plan, recipe=recipe), opened, Ranks(), phase, restored=True)
        assert {batches.make(step)["inputs"].shape[-1] for step in (44, 53)} == {16}


@pytest.mark.slow
def test_before_the_first_checkpoint_it_is_planned_anew(whole: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "cut"
    cut_after(data, out, 20, epochs=6, **OPTIONS)
    keep_checkpoints_up_to(out, 0)
    resnets.resume(out)
    assert sha_of(out) == sha_of(whole)
    assert plans_of(out) == plans_of(whole)
