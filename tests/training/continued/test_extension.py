"""A finished run trains on, `--epochs +N`, and an extension that is cut off resumes to the same weights."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import resnets
from resnets.cli import main
from resnets.core.errors import FileError, InterruptedRunError, UsageError
from resnets.recipes.catalog import find
from resnets.training import checkpoint
from resnets.training.extension import parse_epochs, restarted
from resnets.training.plan import read_plan
from resnets.training.recipe import Muon
from resnets.training.schedules import Cosine, OneCycle, Step, Warmup, factor
from tests.training.continued.conftest import TINY, trained
from tests.training.cut import Cut, cut_after
from tests.training.runs import curve, events, sha_of


@pytest.mark.parametrize("text", ["5", "+", "++5", "+-5", "-5", "+0", "+nan", "+inf", "+1e9", "five", "", "+ 5"])
def test_epochs_are_more_epochs(text: str, finished: Path) -> None:
    assert parse_epochs("+5") == 5
    assert parse_epochs("+0.5") == 0.5
    with pytest.raises(UsageError, match=r"epochs takes \+N, for N epochs more"):
        resnets.resume(finished, epochs=text)
    assert sha_of(finished)


def test_an_unfinished_run_is_not_made_longer(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut_after(data, tmp_path / "r", 10, *TINY, epochs=2)
    assert main(["resume", str(tmp_path / "r"), "--epochs", "+2"]) == 2
    assert f"has not finished, so it cannot be made longer yet: first go on with: resnets resume {tmp_path / 'r'}" in (
        capsys.readouterr().err
    )


def steps_of(run: Path) -> list[dict[str, Any]]:
    return [e for e in events(run) if e["event"] == "step"]


def test_a_finished_run_trains_on_from_a_tenth_of_the_peak_to_the_end_of_its_schedule(
    whole: Path, finished: Path
) -> None:
    before = resnets.load(finished).network.state_dict()
    assert main(["resume", str(finished), "--epochs", "+2"]) == 0
    lines = events(finished)
    assert [e["event"] for e in lines if e["event"] in ("start", "extension", "end")] == [
        "start", "end", "extension", "end",
    ]  # fmt: skip
    recorded = next(e for e in lines if e["event"] == "extension")
    peak = read_plan(finished / "recipe.json").recipe.optimizer.lr
    assert (recorded["step"], recorded["steps"], recorded["epochs"]) == (20, 40, 2)
    assert recorded["lr"] == pytest.approx(peak / 10)
    assert steps_of(finished)[: len(steps_of(whole))] == steps_of(whole)
    more = steps_of(finished)[len(steps_of(whole)) :]
    assert [e["step"] for e in more][-1] == 40
    recipe = restarted(read_plan(finished / "recipe.json").recipe, 2)
    assert [e["lr"] for e in more] == [
        pytest.approx(0.1 * peak * factor(recipe.schedule, (e["step"] - 1 - 20) / 20)) for e in more
    ]
    assert [e["step"] for e in lines if e["event"] == "evaluation"][-4:] == [25, 30, 35, 40]
    after = resnets.load(finished).network.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert (
        resnets.load(finished).card.metrics["accuracy"]
        == [e for e in lines if e["event"] == "evaluation"][-1]["accuracy"]
    )
    assert resnets.resume(finished).was_finished
    assert resnets.replay(finished, step=33).step == 33


def test_it_is_finished_though_a_subscriber_fails_at_its_end_or_the_log_is_lost(finished: Path) -> None:
    def fails_at_the_end(event: dict[str, Any]) -> None:
        if event["event"] == "end":
            raise RuntimeError("no network")

    resnets.resume(finished, epochs="+1", subscribers=(fails_at_the_end,))
    assert events(finished)[-1]["event"] == "warning"
    assert resnets.resume(finished).was_finished
    log = finished / "log.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[-2:]))  # as where an earlier part was lost
    assert resnets.resume(finished).was_finished


def test_it_can_be_made_longer_more_than_once(finished: Path) -> None:
    resnets.resume(finished, epochs="+1")
    resnets.resume(finished, epochs="+0.5")
    assert read_plan(finished / "recipe.json").extensions == (1.0, 0.5)
    assert [e["step"] for e in events(finished) if e["event"] == "extension"] == [20, 30]
    assert steps_of(finished)[-1]["step"] == 35
    assert [e["event"] for e in events(finished)].count("end") == 3


@pytest.mark.parametrize("step", [22, 33])
def test_an_extension_that_is_cut_off_resumes_to_the_same_weights(step: int, finished: Path, tmp_path: Path) -> None:
    expected = Path(shutil.copytree(finished, tmp_path / "expected"))
    resnets.resume(expected, epochs="+2")

    def stop(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= step:
            signal.raise_signal(signal.SIGTERM) if step > 30 else cut()

    def cut() -> None:
        raise Cut

    with pytest.raises((Cut, InterruptedRunError)):
        resnets.resume(finished, epochs="+2", subscribers=(stop,))
    with pytest.raises(UsageError, match="has not finished"):
        resnets.resume(finished, epochs="+2")
    resnets.resume(finished)
    assert sha_of(finished) == sha_of(expected)
    assert curve(finished) == curve(expected)
    assert [e["event"] for e in events(finished)].count("extension") == 1


@pytest.mark.parametrize(
    "moment", [pytest.param("before the plan", marks=pytest.mark.slow), "before the model", "before the end"]
)
def test_an_extension_killed_between_its_files_is_made_or_not_made(
    moment: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Path(shutil.copytree(finished, tmp_path / "expected"))
    resnets.resume(expected, epochs="+1")

    def cut(*arguments: Any, **named: Any) -> Any:
        raise Cut

    with monkeypatch.context() as patched:
        if moment == "before the plan":
            patched.setattr("resnets.training.extension.write_plan", cut)
        elif moment == "before the model":
            patched.setattr("resnets.artifacts.model_file.save", cut)
        else:
            patched.setattr("resnets.training.callbacks.CheckpointCallback.cost", cut)
        with pytest.raises(Cut):
            resnets.resume(finished, epochs="+1")
    if moment == "before the plan":
        assert resnets.resume(finished).was_finished
        resnets.resume(finished, epochs="+1")
    else:
        resnets.resume(finished)
    assert sha_of(finished) == sha_of(expected)
    assert curve(finished) == curve(expected)


def test_an_extension_whose_checkpoints_are_gone_is_refused(finished: Path) -> None:
    def stop(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= 22:
            raise Cut

    with pytest.raises(Cut):
        resnets.resume(finished, epochs="+2", subscribers=(stop,))
    checkpoint.remove(finished / "checkpoint", [s for s in checkpoint.steps(finished / "checkpoint") if s >= 20])
    before = sha_of(finished)
    with pytest.raises(FileError, match="extension"):
        resnets.resume(finished)
    assert sha_of(finished) == before


def test_another_networks_model_is_not_trained_on(data: Path, finished: Path, tmp_path: Path) -> None:
    other = trained(data, tmp_path / "other", "model.widths=[16]", epochs=0.5)
    shutil.copy(other.model, finished / "model.safetensors")
    with pytest.raises(FileError, match="not the model of this run"):
        resnets.resume(finished, epochs="+1")
    assert read_plan(finished / "recipe.json").extensions == ()


@pytest.mark.parametrize("values", [[0], [-1.0], ["2"], [1e9], {}, [None]])
def test_odd_extensions_are_refused(values: Any, finished: Path) -> None:
    path = finished / "recipe.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"extensions": values}))
    with pytest.raises(FileError, match="damaged"):
        resnets.resume(finished)


def test_the_rate_of_an_extension() -> None:
    recipe = find("paper/cifar").with_overrides(["warmup=Warmup", "warmup.epochs=1", "optimizer.lr=0.5"])
    assert recipe.warmup == Warmup(epochs=1)
    longer = restarted(recipe, 3)
    assert (longer.optimizer.lr, longer.warmup, longer.epochs, longer.steps) == (0.05, None, 3, None)
    assert longer.schedule == recipe.schedule
    cycle = restarted(replace(recipe, schedule=OneCycle(peak=0.3), warmup=None), 3)
    assert [factor(cycle.schedule, done) for done in (0.0, 0.5, 1.0)] == [1.0, 0.5, 0.0]
    muon = restarted(replace(recipe, optimizer=Muon()), 3).optimizer
    assert isinstance(muon, Muon)
    assert (muon.lr, muon.classifier_lr, muon.vector_lr) == pytest.approx((0.024, 0.002, 0.01))
    for schedule in (Cosine(), Step()):
        assert restarted(replace(recipe, schedule=schedule), 3).schedule == schedule
