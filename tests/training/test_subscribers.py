"""A run does not end because those who watch it do, and it saves its step before anything that takes long."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.cli import main
from resnets.core.errors import InterruptedRunError
from resnets.training import callbacks, checkpoint
from resnets.training.progress import Live, watch
from resnets.training.signals import stop_signals
from tests.training.runs import arguments, curve, events, sha_of, start

TINY = ("model.depths=[1]", "model.widths=[8]", "precision=fp32")


def settings(data: Path, *more: str) -> dict[str, Any]:
    return {
        "overrides": [a for a in arguments(data, Path("r"), *TINY, *more) if "=" in a],
        "options": {"data": str(data), "epochs": 2},
    }


def trained(data: Path, out: Path, *more: str, **options: Any) -> resnets.Run:
    given = settings(data, *more)
    return resnets.train("paper/cifar", *given["overrides"], out=out, **(given["options"] | options))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 steps, evaluated after 5, 10, 15 and 20."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    trained(data, out)
    return out


@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        KeyError("a bug"),
        *(
            pytest.param(error, marks=pytest.mark.slow)
            for error in (
                OSError(errno.ENOSPC, "No space left"), UnicodeEncodeError("ascii", "x", 0, 1, "no"), MemoryError(),
            )
        ),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_subscriber_that_raises_is_reported_once_and_the_run_ends_as_ever(
    error: Exception, data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def failing(event: dict[str, Any]) -> None:
        raise error

    run = trained(data, tmp_path / "r", subscribers=(failing, lambda event: seen.append(event["event"])))
    assert sha_of(run.folder) == sha_of(whole)
    assert curve(run.folder) == curve(whole)
    warnings = [e["message"] for e in events(run.folder) if e["event"] == "warning"]
    assert len(warnings) == 1
    assert type(error).__name__ in warnings[0]
    assert capsys.readouterr().err.count("training goes on") == 1
    assert seen[0] == "start"
    assert seen[-1] == "end"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_full_disk_under_standard_output_ends_no_run(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "resnets", *arguments(data, out, *TINY, epochs=2)],
            stdout=full, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=240,
            check=False,
        )  # fmt: skip
    assert sha_of(out) == sha_of(whole)
    assert events(out)[-1]["event"] == "end"
    assert done.returncode == 1
    assert "Cannot write to standard output: no space left on device." in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="a shell's pipe")
def test_a_pipe_that_closes_after_the_first_line_ends_no_run(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    process = start(arguments(data, out, *TINY, epochs=2))
    assert process.stdout is not None
    assert "parameters" in process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert process.wait(240) == 128 + signal.SIGPIPE
    assert sha_of(out) == sha_of(whole)
    assert "Traceback" not in err
    assert "Exception ignored" not in err


def test_without_standard_output_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with watch() as subscriber:
        subscriber({"event": "step", "step": 1, "images_per_second": 1.0})


def test_a_terminal_that_closes_fails_as_a_subscriber_and_not_as_a_context() -> None:
    class Closed:
        encoding = "utf-8"

        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

        def flush(self) -> None: ...

        def isatty(self) -> bool:
            return True

    with Live(Closed()) as live, pytest.raises(OSError, match="Input/output error"):  # type: ignore[arg-type]
        live({"event": "start", "recipe": "r", "parameters": 1, "train_samples": 1, "test_samples": 1, "steps": 1,
              "epochs": 1.0, "notes": ["a note"], "environment": dict.fromkeys(
                  ("device", "hardware", "precision", "layout"), "x") | {"threads": 1}})  # fmt: skip


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP")
def test_a_closed_terminal_is_a_request_to_stop_unless_it_is_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may themselves run under nohup
    try:
        with stop_signals() as asked:
            signal.raise_signal(signal.SIGHUP)
            assert asked == [signal.SIGHUP]
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with stop_signals() as asked:
            signal.raise_signal(signal.SIGHUP)
            assert asked == []
    finally:
        signal.signal(signal.SIGHUP, before)


def stop_in(monkeypatch: pytest.MonkeyPatch, evaluation: int) -> None:
    """SIGTERM once the evaluation of this number, from 1, has begun."""
    count = 0
    before = callbacks.CheckpointCallback.before_evaluation

    def signalled(self: callbacks.CheckpointCallback) -> None:
        nonlocal count
        before(self)
        count += 1
        if count == evaluation:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(callbacks.CheckpointCallback, "before_evaluation", signalled)


CASES: dict[str, tuple[str, ...]] = {
    "plain": (),
    "plateau": ("schedule=Plateau", "schedule.patience=1", "schedule.threshold=0.9"),
    "statistics": ("precise_bn=24", "score_training=true"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("evaluation", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_asked_to_stop_in_an_evaluation_a_run_saves_its_step_and_evaluates_on_resume(
    case: str, evaluation: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    remembered: Callable[[str], Path],
) -> None:  # fmt: skip
    out, expected = tmp_path / "r", remembered(case)
    with monkeypatch.context() as patched:
        stop_in(patched, evaluation)
        with pytest.raises(InterruptedRunError, match=f"Step {5 * evaluation} is saved"):
            trained(data, out, *CASES[case], monitor="loss")
    assert checkpoint.steps(out / "checkpoint")[0] == 5 * evaluation
    assert checkpoint.read(out / "checkpoint", 5 * evaluation).state.evaluation_pending
    assert len([e for e in events(out) if e["event"] == "evaluation"]) == evaluation - 1
    resnets.resume(out)
    assert sha_of(out) == sha_of(expected)
    assert curve(out) == curve(expected)
    best = [resnets.load(run / "best.safetensors").card.metrics["loss"] for run in (out, expected)]
    assert best[0] == best[1]


@pytest.fixture(scope="module")
def remembered(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The uninterrupted run of each case."""
    runs: dict[str, Path] = {}

    def find(case: str) -> Path:
        if case not in runs:
            runs[case] = tmp_path_factory.mktemp("runs") / case
            trained(data, runs[case], *CASES[case], monitor="loss")
        return runs[case]

    return find


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_before_an_evaluation_leaves_it_to_the_resume(
    name: str, data: Path, whole: Path, tmp_path: Path
) -> None:
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip(f"no {name} here")
    out = tmp_path / "r"

    def subscriber(event: dict[str, Any]) -> None:
        if event.get("step") == 10 and event["event"] == "step":
            signal.raise_signal(number)

    before = signal.signal(number, signal.SIG_DFL)  # these tests may themselves run under nohup
    try:
        with pytest.raises(InterruptedRunError, match="Step 10 is saved") as caught:
            trained(data, out, subscribers=(subscriber,))
    finally:
        signal.signal(number, before)
    assert caught.value.exit_code == 128 + number
    assert checkpoint.read(out / "checkpoint", 10).state.evaluation_pending
    assert main(["resume", str(out)]) == 0
    assert sha_of(out) == sha_of(whole)
    assert curve(out) == curve(whole)
