"""What looks after a run between its steps: checkpoints in time, the best model, and stopping when asked.

Asked to stop, a run finishes its step, saves it and ends. An evaluation is not waited for: the step before it is saved
with the note that its evaluation is still to be done, and `resume` begins with that.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch
from torch import Tensor

from resnets.core.errors import DataError, InterruptedRunError, TrainingError, UsageError
from resnets.core.files import explain
from resnets.evaluation.scoring import Scores
from resnets.training.checkpoint import Saved, TrainState
from resnets.training.checkpoint_writer import Writer
from resnets.training.loop import Training
from resnets.training.run_folder import CheckpointPolicy
from resnets.training.votes import Votes

_LOSSES = "losses"
_SAME_SIGNAL = 0.3  # seconds
# SIGHUP comes when the terminal closes; not on Windows.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Within, the first SIGTERM, SIGINT or SIGHUP is only noted, in the list that is given; the second interrupts.

    One that comes within 0.3 s of the first is the same signal: a terminal and what started this process both send it.
    A SIGHUP that is ignored, as under nohup, stays so.
    """
    asked: list[int] = []
    first = -math.inf
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if asked and time.monotonic() > first + _SAME_SIGNAL:
            raise KeyboardInterrupt
        if not asked:
            first = time.monotonic()
            asked.append(number)

    heeded = [n for n in _SIGNALS if n == signal.SIGINT or signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in heeded}
    try:
        yield asked
    finally:
        time.sleep(max(0.0, first + _SAME_SIGNAL - time.monotonic()))
        for number, handler in before.items():
            signal.signal(number, handler)


class CheckpointCallback:
    """The loop's `Callback`.

    Args:
        asked: signals that asked to stop.
        log_bytes: the length of the log as it is.
        save_best: saves the evaluated weights as the best model.
        found: the checkpoint from which the run goes on.
    """

    def __init__(
        self,
        training: Training,
        checkpoints: CheckpointPolicy,
        folder: Path,
        *,
        recipe_sha256: str,
        asked: list[int],
        log_bytes: Callable[[], int],
        save_best: Callable[[Scores], None],
        found: Saved | None = None,
        unlogged: list[Tensor],
    ) -> None:
        self.training = training
        self.checkpoints = checkpoints
        damaged = found.damaged if found else ()
        self.writer = Writer(folder, checkpoints.keep, damaged) if training.ranks.is_main else None
        self.recipe_sha256 = recipe_sha256
        best = found.state.best if found else None
        # A run that version 0.1 began did not note the loss of its best: the next model that ties with it is taken.
        self.best = (best, -sys.float_info.max) if isinstance(best, float) else best
        self._asked = asked
        self._votes = Votes(training.ranks)
        self._log_bytes = log_bytes
        self._save_best = save_best
        self._before = found.state.seconds if found else 0.0
        self._started = self._saved = time.monotonic()
        self.waited = 0.0  # seconds that training waited for checkpoints
        self.unlogged = unlogged
        self.seen = training.steps_done  # the last step after which the run's state was whole
        self.evaluation_pending = found is not None and found.state.evaluation_pending

    @property
    def seconds(self) -> float:
        """Trained so far, over all starts of the run."""
        return self._before + time.monotonic() - self._started

    def cost(self) -> dict[str, float]:
        """Seconds that training waited for checkpoints, and that the thread which wrote them kept a core busy."""
        return {"waited": self.waited, "writing": self.writer.cpu_seconds if self.writer else 0.0}

    def after_step(self, losses: list[Tensor], failed: DataError | None = None) -> None:
        """Writes a checkpoint where one is due, and stops where that was asked; all ranks together, so a step later.

        Where one of several ranks will have no batch, all save and raise its `DataError`.
        """
        started = time.monotonic()
        self.unlogged = losses
        self.seen = self.training.steps_done
        if self.training.steps_done == self.training.total_steps:
            return
        fails = failed is not None and self.training.ranks.world > 1  # alone, the loop raises it at once
        stop, save, ends = self._votes.result(bool(self._asked), self._is_due(), fails)
        if ends:
            self.save()
            self.close()
            self.training.ranks.barrier()  # saving takes as long as the disk of rank 0 takes
            reasons = self.training.ranks.gather(str(failed) if failed else None)  # not before it is saved
            raise DataError(next(reason for reason in reasons if reason))
        if save or stop or self._is_step_due():
            self.save()
        self._votes.cast(bool(self._asked), self._is_due(), fails)
        self.waited += time.monotonic() - started
        if stop:
            self._end()

    def before_evaluation(self) -> None:
        """Stops here where that was asked, all ranks together; the evaluation is then done on resume."""
        self.unlogged = []  # a step that is evaluated was logged
        self.seen = self.training.steps_done
        self.evaluation_pending = True
        if any(self.training.ranks.gather(bool(self._asked))):
            self.stop_evaluation()

    def stop_evaluation(self) -> NoReturn:
        """Saves the step whose evaluation is given up, and ends the run."""
        self.save()
        self._end()

    def _end(self) -> NoReturn:
        self.close()
        self.training.ranks.barrier()  # saving takes as long as the disk of rank 0 takes
        self.training.ranks.gather(None)  # none leaves, or says what is saved, before it is
        number = self._asked[0] if self._asked else signal.SIGTERM
        raise InterruptedRunError("Stopped, as asked.", number)

    def after_evaluation(self, scores: Scores) -> None:
        """Keeps the model if it is the best so far; of equal ones that of lower loss, then the later."""
        self.evaluation_pending = False
        if self.checkpoints.monitor is None:
            return
        candidate = goodness(self.checkpoints.monitor, scores.metrics)
        if candidate is not None and (self.best is None or candidate >= self.best):
            self.best = candidate
            if self.training.ranks.is_main:
                self._save_best(scores)

    def save(self) -> None:
        """Starts writing a checkpoint of the step that was just done.

        Raises:
            TrainingError: a gradient was not finite, so the state is not worth keeping.
        """
        pending = self.training.ranks.sum(torch.stack(self.unlogged)) if self.unlogged else torch.zeros(0)
        if int(self.training.first_bad) >= 0:
            raise TrainingError(f"Step {int(self.training.first_bad) + 1} has a gradient that is not finite.")
        self._saved = time.monotonic()
        if self.writer is None:
            return
        plateau = self.training.plateau
        if plateau.best is not None and not math.isfinite(plateau.best):  # JSON has none, and any loss is better
            plateau = replace(plateau, best=None)
        state = TrainState(
            step=self.training.steps_done,
            log_bytes=self._log_bytes(),
            seconds=self.seconds,
            recipe_sha256=self.recipe_sha256,
            plateau=plateau,
            best=self.best,
            skipped=int(self.training.skipped),
            evaluation_pending=self.evaluation_pending,
        )
        self.writer.write(self.training.state() | {_LOSSES: pending}, state)

    def close(self) -> None:
        """Waits until what was begun is on the disk."""
        if self.writer is not None:
            self.writer.wait()

    def _is_due(self) -> bool:
        """Whether it is time for a checkpoint, by the clock of the rank that writes them."""
        minutes = self.checkpoints.minutes
        return self.training.ranks.is_main and minutes is not None and time.monotonic() - self._saved >= 60 * minutes

    def _is_step_due(self) -> bool:
        """Whether this step asks for a checkpoint, on every rank alike."""
        return self.checkpoints.steps is not None and self.training.steps_done % self.checkpoints.steps == 0


def goodness(best: str, metrics: Mapping[str, Any]) -> tuple[float, ...] | None:
    """By what models are compared, higher being better: the value of the metric `best`, then the loss; None for none.

    Args:
        metrics: of an evaluation, or its event in the log, where None stands for what is not finite.
    """
    value, loss = (math.nan if metrics.get(name) is None else float(metrics[name]) for name in (best, "loss"))
    if not math.isfinite(value):
        return None
    return (
        -value if best == "loss" else value,
        -loss if math.isfinite(loss) else -sys.float_info.max,  # JSON has no infinities
    )


def pending_losses(tensors: dict[str, Tensor], training: Training) -> list[Tensor]:
    """The losses that a checkpoint's run had not logged yet; all on the leading rank, as they are summed over ranks."""
    losses = tensors[_LOSSES].to(training.device)
    return list(losses if training.ranks.is_main else torch.zeros_like(losses))


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder of checkpoints for this process alone; the system lets go of it when the process ends, however.

    Raises:
        UsageError: another process has it.
        FileError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise explain("write to", folder, error) from error
    try:
        _lock(handle, folder.parent)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, run: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"Another process trains in {run}. Wait for it, or stop it first.") from None
    except OSError as error:
        raise explain("lock", run, error) from error
