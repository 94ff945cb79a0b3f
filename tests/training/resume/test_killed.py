"""A run that a signal stopped or killed goes on bit for bit where it was."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path

import pytest

import resnets
from resnets.training.signals import stop_signals
from tests.training.resume.conftest import EVERY
from tests.training.runs import arguments, curve, finish, sha_of, start, wait_for


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_saves_the_step_and_stops(number: signal.Signals, data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    process = start(arguments(data, out))
    wait_for(out, 10, process)
    process.send_signal(number)
    time.sleep(0.02)
    process.send_signal(number)  # from what started it, as from the terminal
    code, _, err = finish(process)
    assert code == 128 + number
    assert f"resnets resume {out}" in err
    assert len(err.strip().splitlines()) == 1
    resnets.resume(out)
    assert sha_of(out) == sha_of(whole)
    assert curve(out) == curve(whole)


def test_a_later_signal_interrupts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with stop_signals() as asked:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert asked == [signal.SIGINT]
        later = time.monotonic() + 2
        monkeypatch.setattr(time, "monotonic", lambda: later)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def killed_and_resumed(data: Path, out: Path, seconds: float, workers: int) -> None:
    """A run killed `seconds` after its log began, then resumed to its end in a process of its own."""
    process = start(arguments(data, out, *EVERY, "--workers", str(workers)))
    while process.poll() is None and not (out / "log.jsonl").exists():
        time.sleep(0.005)
    time.sleep(seconds)
    process.kill()
    finish(process)
    for path in out.rglob("*"):
        if path.suffix == ".json" and path.is_file():
            json.loads(path.read_text())
        if path.suffix == ".safetensors":
            checkpoint_or_model = path.read_bytes()
            assert checkpoint_or_model
    code, _, err = finish(start(["resume", str(out)]))
    assert code == 0, err


@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.slow), 4])
def test_a_killed_run_resumes_to_the_same_weights(workers: int, data: Path, whole: Path, tmp_path: Path) -> None:
    killed_and_resumed(data, tmp_path / "r", 0.7, workers)
    assert sha_of(tmp_path / "r") == sha_of(whole)
    assert curve(tmp_path / "r") == curve(whole)


@pytest.mark.slow
def test_a_run_killed_at_any_of_twenty_moments_resumes_to_the_same_weights(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    process = start(arguments(data, tmp_path / "timed", *EVERY))
    while not (tmp_path / "timed" / "log.jsonl").exists():
        time.sleep(0.005)
    began = time.monotonic()
    finish(process)
    length = time.monotonic() - began
    moments = random.Random(20151210)
    for number in range(20):
        out = tmp_path / f"r{number}"
        killed_and_resumed(data, out, moments.uniform(0, length), (0, 4)[number % 2])
        assert sha_of(out) == sha_of(whole), number
        assert curve(out) == curve(whole), number
