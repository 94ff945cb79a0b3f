"""Runs that have so many seconds, on this machine and its own clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.training.length import WARMUP_SHARE, RunLength
from resnets.training.plan import read_plan
from tests.training.runs import arguments, events, finish, sha_of, start

TINY = ("model.depths=[1]", "model.widths=[8]", "model.stem_width=8")
OVER = 1.03
# A process that takes a core for half of the time.
BUSY = "import time\nwhile True:\n    end = time.time() + 0.5\n    while time.time() < end: pass\n    time.sleep(0.5)\n"


def assert_planned_to_its_end(run: Path, samples: int) -> None:
    """The run ended at its last planned step, with the last rate of its schedule."""
    plan, lines = read_plan(run / "recipe.json"), events(run)
    length = RunLength(plan.recipe, samples, planned=plan.lengths)
    last = next(e for e in reversed(lines) if e["event"] == "step")
    assert last["step"] == length.total
    assert last["lr"] < 0.05 * plan.recipe.optimizer.lr
    assert length.share(length.total - 1) > WARMUP_SHARE
    assert [(e["step"], e["total"]) for e in lines if e["event"] == "plan"] == [
        (each.step, each.total) for each in plan.lengths
    ]


@pytest.mark.slow  # a machine that does other things at once may take that long to begin
def test_a_run_of_fifteen_seconds(tmp_path: Path) -> None:
    started = time.monotonic()
    received: list[dict[str, Any]] = []
    resnets.train("digits", *TINY, minutes=0.25, out=tmp_path / "r", workers=0, subscribers=(received.append,))
    assert time.monotonic() - started <= 15 * OVER
    assert_planned_to_its_end(tmp_path / "r", 1437)
    assert any("fit into 0.25 min" in note for note in received[0]["notes"])
    assert received[0]["steps"] == received[1]["total"]


def test_too_little_time_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(resnets.UsageError, match=r"too short for a useful run on this machine.*Give --minutes [\d.]+"):
        resnets.train("digits", *TINY, minutes=0.001, out=tmp_path / "r", workers=0)
    assert not (tmp_path / "r").exists()


def test_what_is_measured_before_the_run_changes_nothing_in_it(data: Path, tmp_path: Path) -> None:
    settings = [a for a in arguments(data, tmp_path / "r", *TINY) if "=" in a]
    common: dict[str, Any] = {"data": data, "epochs": 2, "seed": 3}
    plain = resnets.train("paper/cifar", *settings, out=tmp_path / "plain", **common)
    timed = resnets.train("paper/cifar", *settings, out=tmp_path / "timed", minutes=60.0, **common)
    assert sha_of(timed.folder) == sha_of(plain.folder)  # both have two epochs, and evaluate without changing anything


@pytest.mark.slow
@pytest.mark.parametrize("minutes", [0.5, 1.0])
def test_beside_a_process_that_takes_a_core_for_half_of_the_time(minutes: float, tmp_path: Path) -> None:
    busy = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        started = time.monotonic()
        argv = ["train", "digits", *TINY, "--minutes", str(minutes), "--out", str(tmp_path / "r")]
        code, _, err = finish(start(argv))
        seconds = time.monotonic() - started
    finally:
        busy.kill()
        busy.wait()
    assert code == 0, err
    assert seconds <= 60 * minutes * OVER
    assert_planned_to_its_end(tmp_path / "r", 1437)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_and_resumed_it_takes_the_same_time_in_all(number: int, tmp_path: Path) -> None:
    run, started = tmp_path / "r", time.monotonic()
    process = start(["train", "digits", *TINY, "--minutes", "1", "--out", str(run)])
    time.sleep(25)
    process.send_signal(number)
    finish(process)
    seconds = time.monotonic() - started
    time.sleep(5)  # does not count
    started = time.monotonic()
    code, _, err = finish(start(["resume", str(run)]))
    assert code == 0, err
    assert 0.8 * 60 <= seconds + time.monotonic() - started <= 60 * OVER
    assert_planned_to_its_end(run, 1437)


@pytest.mark.slow
def test_all_ranks_follow_the_plans_of_rank_0_after_the_same_step(data: Path, tmp_path: Path) -> None:
    script = tmp_path / "planned.py"
    script.write_text(
        "import sys\n"
        "from resnets import cli\n"
        "from resnets.training.budget import TimeBudget\n"
        "TimeBudget.proposal = lambda self, length, step: {12: 50, 30: 44}.get(step, 0)\n"
        "sys.exit(cli.main())\n"
    )
    out = tmp_path / "r"
    argv = [*arguments(data, out, *TINY, epochs=6), "--minutes", "5"]
    process = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", str(script), *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    code, _, err = finish(process)
    assert code == 0, err
    assert [(e["step"], e["total"]) for e in events(out) if e["event"] == "plan"] == [(0, 60), (13, 50), (31, 44)]
    assert [e["step"] for e in events(out) if e["event"] == "evaluation"][-1] == 44
