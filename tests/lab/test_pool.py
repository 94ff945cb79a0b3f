"""Several trials at a time: what they tell, how they end, and how they are stopped."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from resnets.errors import TrainingError, UsageError
from resnets.lab import pool
from resnets.lab.pool import Tell


def _square(number: int, tell: Tell) -> dict[str, int]:
    tell(f"{number} begun")
    return {"square": number**2, "process": os.getpid()}


def _refused(tell: Tell) -> dict[str, int]:
    raise UsageError("cannot be meant")


def _killed(tell: Tell) -> dict[str, int]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def _train(folder: Path, tell: Tell) -> dict[str, int]:
    """Until it is asked to stop; then it saves, which takes a while."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    tell("trains")
    while not asked:
        time.sleep(0.01)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    tell("saves")
    time.sleep(0.5)
    (folder / str(os.getpid())).touch()
    return {}


def test_all_are_done_by_so_many_processes() -> None:
    told: list[str] = []
    found = dict(pool.run([partial(_square, number) for number in range(5)], 2, told.append))
    assert [found[number]["square"] for number in range(5)] == [0, 1, 4, 9, 16]
    assert sorted(told) == [f"{number} begun" for number in range(5)]
    processes = {answer["process"] for answer in found.values()}
    assert len(processes) <= 2
    assert os.getpid() not in processes


def test_an_error_of_a_task_is_raised_with_where_it_was() -> None:
    with pytest.raises(UsageError, match="cannot be meant") as caught:
        list(pool.run([_refused, _refused], 2, print))
    assert "in _refused" in caught.value.__notes__[0]


def test_a_task_that_is_killed_is_told_and_holds_up_none(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="exit code -9"):
        list(pool.run([partial(_train, tmp_path), partial(_killed), partial(_train, tmp_path)], 2, print))


@pytest.mark.parametrize("heard", [1, 2])
def test_stopped_each_saves_what_it_is_at_and_begins_nothing_more(heard: int, tmp_path: Path) -> None:
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        if len(told) == heard:  # with one, the other may still be starting
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(pool.run([partial(_train, tmp_path) for _ in range(6)], 2, tell))
    assert heard <= len(list(tmp_path.iterdir())) <= 2
