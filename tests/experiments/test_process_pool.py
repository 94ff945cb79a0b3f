"""Several trials at a time: what they log, how they end, and how they are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import pytest

from resnets.core.errors import TrainingError, UsageError
from resnets.experiments import process_pool
from resnets.experiments.process_pool import Log


class StubbornError(Exception):
    """An error that cannot be unpickled."""

    def __init__(self, message: str, *, number: int) -> None:
        super().__init__(message)


def square(number: int, log: Log) -> dict[str, int]:
    log(f"{number} begun")
    return {"square": number**2, "process": os.getpid()}


def refused(log: Log) -> dict[str, int]:
    raise UsageError("not a valid size")


def stubborn(log: Log) -> dict[str, int]:
    raise StubbornError("the reason", number=3)


def killed(log: Log) -> dict[str, int]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def large(log: Log) -> str:
    return "x" * 5_000_000


def train(folder: Path, log: Log) -> dict[str, int]:
    """Runs until it gets a signal; then it saves, which takes a while; a second signal ends it at once."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    log("trains")
    while not received:
        time.sleep(0.01)
    log("saves")
    time.sleep(0.5)
    (folder / str(os.getpid())).touch()
    return {}


def train_two(folder: str) -> None:
    """Runs three tasks, two at a time; called in a process of its own."""
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background jobs, such as these tests, ignore it
    list(process_pool.run([partial(train, Path(folder)) for _ in range(3)], 2, partial(print, flush=True)))


def test_all_tasks_run_in_as_many_processes_as_jobs() -> None:
    lines: list[str] = []
    found = dict(process_pool.run([partial(square, number) for number in range(5)], 2, lines.append))
    assert [found[number]["square"] for number in range(5)] == [0, 1, 4, 9, 16]
    assert sorted(lines) == [f"{number} begun" for number in range(5)]
    processes = {answer["process"] for answer in found.values()}
    assert len(processes) <= 2
    assert os.getpid() not in processes


def test_answers_may_be_strings_larger_than_a_pipe() -> None:
    assert [len(answer) for _, answer in process_pool.run([large, large], 2, print)] == [5_000_000] * 2


def test_an_error_of_a_task_is_raised_with_its_traceback() -> None:
    with pytest.raises(UsageError, match="not a valid size") as caught:
        list(process_pool.run([refused, refused], 2, print))
    assert "in refused" in caught.value.__notes__[0]


def test_an_error_that_cannot_be_pickled_keeps_its_message() -> None:
    with pytest.raises(TrainingError, match="StubbornError: the reason"):
        list(process_pool.run([stubborn, stubborn], 2, print))


def test_a_task_that_is_killed_is_reported_and_blocks_no_other(tmp_path: Path) -> None:
    tasks: list[Callable[[Log], dict[str, int]]] = [partial(train, tmp_path), killed, partial(train, tmp_path)]
    with pytest.raises(TrainingError, match="exit code -9"):
        list(process_pool.run(tasks, 2, print))


def test_a_worker_that_is_killed_before_it_has_its_task_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    from multiprocessing.context import SpawnProcess

    start = SpawnProcess.start

    def start_and_kill(process: SpawnProcess) -> None:
        start(process)
        process.kill()

    monkeypatch.setattr(SpawnProcess, "start", start_and_kill)
    with pytest.raises(TrainingError, match="exit code -9"):
        list(process_pool.run([partial(square, number) for number in range(3)], 2, print))


@pytest.mark.parametrize("count", [1, 2])
def test_when_stopped_each_saves_its_step_and_starts_no_more_tasks(count: int, tmp_path: Path) -> None:
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        if len(lines) == count:  # with 1, the other may still be starting
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(process_pool.run([partial(train, tmp_path) for _ in range(6)], 2, log))
    assert count <= len(list(tmp_path.iterdir())) <= 2


@pytest.mark.skipif(sys.platform == "win32", reason="process groups need Unix")
@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM, signal.SIGKILL]
)
def test_each_saves_its_step_when_the_parent_is_stopped(number: int, tmp_path: Path) -> None:
    program = f"from tests.experiments.test_process_pool import train_two; train_two({str(tmp_path)!r})"
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    )
    assert parent.stdout
    assert [parent.stdout.readline() for _ in range(2)] == ["trains\n"] * 2
    os.killpg(parent.pid, number)  # as Ctrl-C in a terminal does
    parent.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(list(tmp_path.iterdir())) == 2
