"""TensorBoard, MLflow and Weights & Biases get what the log has, whatever happens, and change nothing of a run."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.core.errors import UsageError
from resnets.training.plan import read_plan
from resnets.training.run_log import Log, read_log
from resnets.training.trackers.base import numbers_of
from resnets.training.trackers.catalog import TRACKERS
from tests.command_line import call
from tests.training.continued.conftest import TINY
from tests.training.cut import cut_after
from tests.training.runs import arguments, curve, events, finish, run_resnets, sha_of, start, wait_for
from tests.training.tracked import READERS, logged, without_speed

EACH = tuple(TRACKERS)
FLAGS = [f"--{name}" for name in EACH]
ALL: dict[str, Any] = dict.fromkeys(EACH, True)
MODULES = {"tensorboard": "torch.utils.tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
EVENT = {
    "event": "evaluation", "step": 4, "epoch": 1.0, "split": "val", "loss": 0.5, "miou": 0.25, "samples": 3,
    "r2": math.nan, "auc": None, "absent": ["tram"], "classes": {"cat": {"iou": None}}, "chosen": True,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "WANDB_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture
def store(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """One store of MLflow for all: to make one takes longer than most runs of these tests."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    return database


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 steps, without trackers."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert call(*arguments(data, out, *TINY, epochs=2)).code == 0
    return out


def approximate(name: str, curves: dict[str, Any]) -> Any:
    """TensorBoard has float32."""
    if name != "tensorboard":
        return curves
    return {key: [(step, pytest.approx(value, rel=1e-6)) for step, value in each] for key, each in curves.items()}


def test_all_have_the_log_and_the_recipe_and_the_run_is_the_same(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    result = call(*arguments(data, out, *TINY, *FLAGS, "--json", "--quiet", epochs=2))
    assert (result.code, result.err) == (0, "")
    assert result.json["model"] == str(out / "model.safetensors")
    assert sha_of(out) == sha_of(whole)
    assert curve(out) == curve(whole)
    recipe = json.loads((out / "recipe.json").read_text())["recipe"]
    assert read_plan(out / "recipe.json").trackers == EACH
    assert {"train/loss", "train/lr", "val/accuracy", "val/loss"} < logged(out).keys()
    for name, read in READERS.items():
        found = read(out)
        assert found.curves == approximate(name, logged(out))
        assert found.settings == recipe
        assert found.finished in (True, None)
    new = {path.name for path in out.iterdir()} - {path.name for path in whole.iterdir()}
    assert new == {*EACH, "trackers.json"}
    assert not [path for name in EACH for path in (out / name).rglob("*.safetensors")]
    assert not (Path.cwd() / "mlruns").exists()


def wait_for_next_second() -> None:
    """TensorBoard reads files by name, the second first, then a number of the process, of which 10 comes before 9."""
    time.sleep(1.05 - time.time() % 1)


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_a_run_that_is_stopped_and_resumed_is_one_run(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    cut_after(data, out, 15, *TINY, epochs=2, checkpoint_steps=10, **ALL)
    assert [READERS[name](out).finished for name in ("mlflow", "wandb")] == [False, False]
    wait_for_next_second()
    resnets.resume(out)
    assert sha_of(out) == sha_of(whole)
    for name, read in READERS.items():
        assert without_speed(read(out).curves) == approximate(name, without_speed(logged(out)))
        assert read(out).finished in (True, None)
    wait_for_next_second()
    resnets.resume(out, epochs="+1")
    for name, read in READERS.items():
        assert without_speed(read(out).curves) == approximate(name, without_speed(logged(out)))
        assert max(step for step, _ in read(out).curves["train/loss"]) == 30


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_after_a_kill_nothing_is_missing(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    process = start([*arguments(data, out, *TINY, "--checkpoint-steps", "5", *FLAGS, epochs=2)])
    wait_for(out, 12, process)
    process.send_signal(signal.SIGKILL)
    finish(process)
    resnets.resume(out)
    assert sha_of(out) == sha_of(whole)
    for name, read in READERS.items():
        assert without_speed(read(out).curves) == approximate(name, without_speed(logged(out)))


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("method", ["log", *(pytest.param(each, marks=pytest.mark.slow) for each in ("begin", "end"))])
def test_a_tracker_that_fails_is_reported_once_and_the_run_ends_as_ever(
    method: str, data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def full(self: Any, *arguments: Any, **options: Any) -> None:
        calls.append(self.title)
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "r"
    with monkeypatch.context() as patched:
        for each in TRACKERS.values():
            patched.setattr(each, method, full)
        assert call(*arguments(data, out, *TINY, *FLAGS, epochs=2)).code == 0
    titles = [each.title for each in TRACKERS.values()]
    assert sorted(calls) == sorted(titles)  # none is asked twice
    assert sha_of(out) == sha_of(whole)
    warnings = [each["message"] for each in events(out) if each["event"] == "warning"]
    assert [title for title in titles if any(f"({title}) failed" in each for each in warnings)] == titles
    assert len(warnings) == len(titles)
    if method == "end":  # which Weights & Biases, having no end, does not give up to another of the same id
        return
    resnets.resume(out, epochs="+1")
    for name, read in READERS.items():  # what it lacked is there
        assert without_speed(read(out).curves) == approximate(name, without_speed(logged(out)))


@pytest.mark.slow
def test_a_server_that_is_gone_ends_no_run(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    out = tmp_path / "r"
    assert call(*arguments(data, out, *TINY, "--mlflow", epochs=2)).code == 0
    assert sha_of(out) == sha_of(whole)
    (warning,) = [each["message"] for each in events(out) if each["event"] == "warning"]
    assert "(MLflow) failed, and training goes on" in warning


@pytest.mark.parametrize("name", EACH)
def test_what_is_not_installed_is_said_before_anything_begins(
    name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r"
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, MODULES[name], None)
        for more in ([], ["--sweep", "seed=0,1"], ["--fold", "all/2"]):
            result = call(*arguments(data, out, *TINY, f"--{name}", *more))
            assert result.code == 2
            assert f"--{name} needs" in result.err
            assert f"[{name}]" in result.err or f"--extra {name}" in result.err
            assert not out.exists()
    cut_after(data, out, 15, *TINY, epochs=2, **({name: True} if name != "mlflow" else {}))
    if name != "mlflow":
        monkeypatch.setitem(sys.modules, MODULES[name], None)
        resnets.resume(out)
        assert "The run goes on without it." in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_each_run_of_a_sweep_and_of_folds_is_tracked(tmp_path: Path) -> None:
    small = ("model.depths=[1]", "model.widths=[8]", "model.stem_width=8", "batch=64", "steps=6")
    argv = ["train", "digits", *small, "--val-share", "0.2", "--device", "cpu", *FLAGS]
    assert call(*argv, "--sweep", "seed=0,1", "--out", tmp_path / "s").code == 0
    assert call(*argv, "--fold", "all/2", "--out", tmp_path / "f").code == 0
    for out in (
        tmp_path / "s" / "run-1",
        tmp_path / "s" / "run-2",
        tmp_path / "f" / "fold-1",
        tmp_path / "f" / "fold-2",
    ):
        for name, read in READERS.items():
            assert read(out).curves == approximate(name, logged(out))
    assert [read(tmp_path / "s" / "run-2").settings["seed"] for read in READERS.values()] == [1, 1, 1]


@pytest.mark.slow
def test_runs_of_a_sweep_in_several_processes_share_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")  # which is yet to be made
    small = ("model.depths=[1]", "model.widths=[8]", "model.stem_width=8", "batch=64", "steps=6")
    out = tmp_path / "s"
    assert call("train", "digits", *small, *FLAGS, "--sweep", "seed=0,1,2,3", "--jobs", "2", "--out", out).code == 0
    for number in range(1, 5):
        for name, read in READERS.items():
            assert read(out / f"run-{number}").curves == approximate(name, logged(out / f"run-{number}"))
        assert [each["event"] for each in events(out / f"run-{number}")].count("warning") == 0


@pytest.mark.slow
def test_of_several_ranks_one_writes(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    code, _, err = run_resnets(arguments(data, out, *TINY, "--tensorboard", "--wandb", epochs=1), ranks=2)
    assert code == 0, err
    assert len(list((out / "tensorboard").iterdir())) == len(list((out / "wandb").glob("offline-run-*"))) == 1
    for name in ("tensorboard", "wandb"):
        assert READERS[name](out).curves == approximate(name, logged(out))


def test_a_run_of_an_earlier_version_has_its_tracker(data: Path, tmp_path: Path) -> None:
    cut_after(data, tmp_path / "r", 15, *TINY, epochs=2)
    path = tmp_path / "r" / "recipe.json"
    described = json.loads(path.read_text())
    assert "trackers" not in described
    path.write_text(json.dumps({**described, "tensorboard": True}))
    assert read_plan(path).trackers == ("tensorboard",)
    resnets.resume(tmp_path / "r")
    assert without_speed(READERS["tensorboard"](tmp_path / "r").curves) == approximate(
        "tensorboard", without_speed(logged(tmp_path / "r"))
    )


def test_what_is_no_number_is_left_out() -> None:
    assert numbers_of(EVENT) == {"val/epoch": 1.0, "val/loss": 0.5, "val/miou": 0.25, "val/samples": 3}
    assert numbers_of({"event": "step", "step": 1, "loss": math.inf, "lr": 0.1}) == {"train/lr": 0.1}


def test_the_log_takes_the_metrics_of_any_task(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log(EVENT)
    log.close()
    assert read_log(tmp_path / "log.jsonl") == [{**EVENT, "r2": None}]


def test_trackers_of_another_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean wandb"):
        resnets.train("digits", wandv=True, out=tmp_path / "r")  # type: ignore[call-arg]
