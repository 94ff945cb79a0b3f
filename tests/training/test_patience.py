"""Early stopping: after which evaluation a run ends, what it leaves, and that a resumed one ends the same."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.core.errors import InterruptedRunError, UsageError
from resnets.training.soup import Ingredients
from tests.command_line import call
from tests.training.cut import cut_after, wait_for_checkpoints
from tests.training.runs import arguments, curve, events, run_resnets, sha_of

FLAGS = ("--patience", "2", "--checkpoint-steps", "5")


def evaluations(run: Path) -> list[dict[str, Any]]:
    return [event for event in events(run) if event["event"] == "evaluation"]


def expected_end(values: list[float], patience: int) -> int:
    """How many evaluations there are, by the plain reading of the rule."""
    best, since = -1.0, 0
    for number, value in enumerate(values, start=1):
        best, since = (value, 0) if value > best else (best, since + 1)
        if since == patience:
            return number
    return len(values)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of at most 60 steps, evaluated after every fifth, that stops early."""
    out = tmp_path_factory.mktemp("whole") / "r"
    assert call(*arguments(data, out, *FLAGS)).code == 0
    return out


def test_it_ends_after_so_many_evaluations_without_a_better_value(data: Path, whole: Path, tmp_path: Path) -> None:
    assert call(*arguments(data, tmp_path / "plain", "--checkpoint-steps", "5")).code == 0
    values = [event["accuracy"] for event in evaluations(tmp_path / "plain")]
    count = expected_end(values, 2)
    assert count < len(values)
    assert [event["accuracy"] for event in evaluations(whole)] == values[:count]
    end = events(whole)[-1]
    assert (end["event"], end["step"]) == ("end", evaluations(whole)[-1]["step"])
    assert end["reason"] == "no better accuracy on val in 2 evaluations"
    best, last = (resnets.load(whole / f"{name}.safetensors").card.metrics for name in ("model", "last"))
    assert best["accuracy"] == max(values[:count])
    assert last["accuracy"] == values[count - 1]


def test_the_command_says_why(data: Path, tmp_path: Path) -> None:
    found = call(*arguments(data, tmp_path / "r", *FLAGS))
    assert "stopped after step" in found.out
    assert "no better accuracy on val in 2 evaluations" in found.out
    assert call("resume", tmp_path / "r").out.startswith("The run was finished already")


@pytest.mark.parametrize("step", [5, None], ids=["early", "at the end"])
def test_cut_and_resumed_it_ends_at_the_same_step_with_the_same_bits(
    step: int | None, data: Path, whole: Path, tmp_path: Path
) -> None:
    cut_after(data, tmp_path / "r", step or int(events(whole)[-1]["step"]), patience=2)
    wait_for_checkpoints()
    resnets.resume(tmp_path / "r")
    assert curve(tmp_path / "r") == curve(whole)
    assert sha_of(tmp_path / "r") == sha_of(whole)
    assert (tmp_path / "r" / "last.safetensors").read_bytes() == (whole / "last.safetensors").read_bytes()


@pytest.mark.slow
def test_it_can_be_made_longer_from_where_it_stopped(data: Path, tmp_path: Path) -> None:
    assert call(*arguments(data, tmp_path / "r", *FLAGS)).code == 0
    stopped = events(tmp_path / "r")[-1]["step"]
    resnets.resume(tmp_path / "r", epochs="+1")
    extension = next(event for event in events(tmp_path / "r") if event["event"] == "extension")
    assert extension["step"] == stopped
    assert evaluations(tmp_path / "r")[-1]["step"] > stopped
    resnets.resume(tmp_path / "r", epochs="+0.5")
    assert resnets.resume(tmp_path / "r").was_finished


@pytest.mark.slow
def test_of_two_ranks_both_stop(data: Path, whole: Path, tmp_path: Path) -> None:
    code, out, err = run_resnets([*arguments(data, tmp_path / "r", *FLAGS, "--json")], ranks=2)
    assert code == 0, err
    end = events(tmp_path / "r")[-1]
    values = [event["accuracy"] for event in evaluations(tmp_path / "r")]
    assert expected_end(values, 2) == len(values)
    assert end["event"] == "end"
    assert json.loads(out)["accuracy"] == max(values)


@pytest.mark.slow
def test_within_a_time_budget_it_ends_earlier(data: Path, tmp_path: Path) -> None:
    settings = [each for each in arguments(data, tmp_path) if "=" in each]
    run = resnets.train("paper/cifar", *settings, data=data, minutes=1, epochs=30, patience=1, out=tmp_path / "r")
    end = events(run.folder)[-1]
    assert end["step"] < 300
    assert json.loads((run.folder / "recipe.json").read_text())["stopped_after"] == [end["step"]]


def test_without_val_or_out_of_range_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"patience ends a run by the best model on val.*--val-share"):
        resnets.train("digits", "steps=1", patience=3, out=tmp_path / "r", device="cpu")
    with pytest.raises(UsageError, match="patience takes 1 or more evaluations, not 0"):
        resnets.train("digits", "steps=1", patience=0, out=tmp_path / "r", device="cpu")
    with pytest.raises(UsageError, match="precise_bn changes the model after its last step"):
        resnets.train("digits", "precise_bn=64", patience=1, val_share=0.2, out=tmp_path / "r", device="cpu")
    assert not (tmp_path / "r" / "recipe.json").exists()


def test_asked_to_stop_while_its_soup_is_scored_it_ends_there_on_resume(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments_of = [each for each in arguments(data, tmp_path / "whole", "soup=2") if "=" in each]
    more: dict[str, Any] = {"data": data, "patience": 2, "checkpoint_steps": 5}
    resnets.train("paper/cifar", *arguments_of, out=tmp_path / "whole", **more)
    cook = Ingredients.cook

    def signalled(self: Ingredients, *given: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return cook(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Ingredients, "cook", signalled)
        with pytest.raises(InterruptedRunError):
            resnets.train("paper/cifar", *arguments_of, out=tmp_path / "cut", **more)
    resnets.resume(tmp_path / "cut")
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    assert sha_of(tmp_path / "cut") == sha_of(tmp_path / "whole")
    assert events(tmp_path / "cut")[-1]["step"] == events(tmp_path / "whole")[-1]["step"]
