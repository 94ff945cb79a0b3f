"""Trials on a Ray cluster, here one of this machine: killed, refused, stopped; sweeps and experiments as without it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.artifacts import model_file
from resnets.core.errors import FileError, TrainingError, UsageError
from resnets.experiments import ray_pool
from tests.command_line import Result, call
from tests.experiments.test_process_pool import refused, square, stubborn, train
from tests.experiments.test_reproduce import results

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks for processes in /proc")
SMALL = ("model.depths=[1]", "model.widths=[8]", "model.stem_width=8", "batch=16", "epochs=1")


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A cluster of two CPUs; to start one takes longer than most of these tests."""
    found = ray_pool.require()
    os.environ.pop("RAY_ADDRESS", None)
    for last in (False, False, True):  # it gives up where other tests leave it no core for a quarter of a minute
        try:
            found.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
            break
        except Exception:
            found.shutdown()
            if last:
                raise
    yield found
    found.shutdown()


def killed_once(folder: Path, log: ray_pool.Log) -> str:
    """Is killed the first time that it runs."""
    log(f"process {os.getpid()}")
    time.sleep(1.5 * ray_pool.INTERVAL)  # lines of a process that is killed are lost unless they were sent before
    try:
        (folder / "killed").mkdir()
    except FileExistsError:
        return "done"
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def killed(log: ray_pool.Log) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run(tasks: list[Any], folder: Path, log: ray_pool.Log = print) -> dict[int, Any]:
    return dict(ray_pool.run(tasks, 2, log, folders=[folder], gpu=True))


@pytest.mark.slow
@pytest.mark.usefixtures("ray")
def test_tasks_run_in_other_processes_and_one_that_is_killed_is_begun_anew(tmp_path: Path) -> None:
    lines: list[str] = []
    found = run(
        [*[partial(square, number) for number in range(4)], partial(killed_once, tmp_path)], tmp_path, lines.append
    )
    assert [found[number]["square"] for number in range(4)] == [0, 1, 4, 9]
    assert os.getpid() not in {found[number]["process"] for number in range(4)}
    assert found[4] == "done"
    assert {f"{number} begun" for number in range(4)} <= set(lines)
    assert len({line for line in lines if line.startswith("process")}) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["killed"]


@pytest.mark.slow
@pytest.mark.usefixtures("ray")
def test_what_cannot_go_on_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="not a valid size") as caught:
        run([refused], tmp_path)
    assert "in refused" in caught.value.__notes__[0]
    with pytest.raises(TrainingError, match="StubbornError: the reason"):
        run([stubborn], tmp_path)
    monkeypatch.setattr(ray_pool, "RETRIES", 1)
    with pytest.raises(TrainingError, match=r"ended 2 times without a result.* continues from here"):
        run([killed], tmp_path)

    @contextmanager
    def elsewhere(folders: object) -> Iterator[tuple[str, ...]]:
        yield (str(tmp_path / "nowhere" / "marker"),)

    monkeypatch.setattr(ray_pool, "_markers", elsewhere)
    with pytest.raises(FileError, match=r"does not see .*nowhere: .* all machines share"):
        run([partial(square, 1)], tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("ray")
def test_when_stopped_each_saves_its_step_and_starts_no_more_tasks(tmp_path: Path) -> None:
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([partial(train, tmp_path) for _ in range(4)], tmp_path, log)
    assert lines == ["trains", "trains"]
    assert len(list(tmp_path.iterdir())) == 2


def holder_of(file: Path) -> int | None:
    """The process that has `file` open."""
    for each in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(each) == str(file):
                return int(each.parts[2])
        except OSError:  # it has just been closed
            continue
    return None


def kill_in_training(folder: Path, gone: list[int]) -> None:
    """Kills the process that trains in `folder`, after its first checkpoint."""
    while not list((folder / "checkpoint").glob("step*")):
        time.sleep(0.005)
    found = holder_of(folder / "checkpoint" / "lock")
    assert found not in (None, os.getpid())
    os.kill(int(found or 0), signal.SIGKILL)
    gone.append(int(found or 0))


def check_sweep(tmp_path: Path, *sweep: str, program: tuple[str, ...] = ()) -> None:
    """A sweep by Ray, of which one process is killed, has the table and the weights of one without Ray."""
    whole, out, gone = tmp_path / "whole", tmp_path / "s", list[int]()
    flags = [word for each in sweep for word in ("--sweep", each)]
    argv = [
        "train",
        "digits",
        *SMALL,
        "--val-share",
        "0.2",
        *flags,
        "--device",
        "cpu",
        "--checkpoint-steps",
        "4",
        "--json",
    ]
    assert call(*argv, "--out", whole).code == 0
    killer = threading.Thread(target=kill_in_training, args=(out / "run-2", gone), daemon=True)
    killer.start()
    argv += ["--cluster", "ray", "--jobs", "2", "--out", str(out)]
    if program:
        done = subprocess.run([*program, *argv], capture_output=True, text=True, check=False)
        answer = Result(done.returncode, done.stdout, done.stderr)
    else:
        answer = call(*argv)
    assert answer.code == 0, answer.err
    killer.join(1)
    assert len(gone) == 1
    found, expected = (json.loads((each / "results.json").read_text()) for each in (out, whole))
    assert {**found, "runs": None} == {**expected, "runs": None}
    assert answer.json["rows"] == expected["rows"]
    for number in range(1, len(expected["runs"]) + 1):
        files = [each / f"run-{number}" / "model.safetensors" for each in (out, whole)]
        assert len({model_file.weights_sha256(model_file.load(each)[0]) for each in files}) == 1
    assert not list(out.glob(".seen*"))


@pytest.mark.slow
@pytest.mark.usefixtures("ray")
def test_a_sweep_by_ray_of_which_a_process_is_killed_is_the_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_sweep(tmp_path, "optimizer.lr=0.003,0.05", "seed=0")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s" / "results.json").unlink()
    again = call("resume", "s", "--json")  # by Ray again, and all of it is done
    assert again.json["rows"] == json.loads((tmp_path / "whole" / "results.json").read_text())["rows"]


@pytest.mark.slow
def test_a_sweep_of_twelve_runs_on_a_cluster_of_its_own(tmp_path: Path) -> None:
    program = (sys.executable, "-m", "resnets")
    check_sweep(tmp_path, "optimizer.lr=0.003,0.01,0.05,0.2", "seed=0,1,2", program=program)


@pytest.mark.slow
@pytest.mark.usefixtures("ray")
def test_an_experiment_by_ray_has_the_results_of_one_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short: dict[str, Any] = {"data": "digits", "seeds": 1, "models": "cifar_plain20,cifar_resnet20", "epochs": 0.2}
    monkeypatch.chdir(tmp_path)
    lines: list[str] = []
    resnets.reproduce("figure6", out="whole", jobs=1, **short)
    resnets.reproduce("figure6", out="r", cluster="ray", jobs=2, log=lines.append, **short)
    assert results(tmp_path / "r") == results(tmp_path / "whole")
    assert sum("done in" in line for line in lines) == 2


def test_what_a_cluster_does_not_do_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="cluster is for --sweep"):
        resnets.train("digits", cluster="ray", out=tmp_path / "s")
    with pytest.raises(UsageError, match="cluster takes"):
        resnets.train("digits", sweep=("seed=0,1",), cluster="slurm", out=tmp_path / "s")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"--cluster ray needs Ray.*cluster"):
        resnets.train("digits", sweep=("seed=0,1",), cluster="ray", out=tmp_path / "s")
    with pytest.raises(UsageError, match="--cluster ray needs Ray"):
        resnets.reproduce("figure6", data="digits", cluster="ray", out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_cluster_that_is_out_of_reach_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_pool.require(), "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(TrainingError, match=r"cluster of RAY_ADDRESS=127.0.0.1:9 cannot be reached: .*refused"):
        run([partial(square, 1)], tmp_path)
