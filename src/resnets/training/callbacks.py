"""What happens between the steps of a run: checkpoints in time, the best model, and stopping when asked.

A run that is asked to stop finishes its step, saves it and ends. It does not wait for an evaluation: the step before it
is saved with the note that its evaluation is still to be done, and `resume` begins with that.
"""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, Protocol

import torch
from torch import Tensor

from resnets.core.errors import DataError, InterruptedRunError, TrainingError
from resnets.evaluation.scoring import Scores
from resnets.tasks.metric import Metric
from resnets.training.budget import CHECKPOINTED, TimeBudget, admitted
from resnets.training.checkpoint import Saved, TrainState
from resnets.training.checkpoint_writer import Writer
from resnets.training.events import Subscriber
from resnets.training.plan import CheckpointPolicy
from resnets.training.step import Training
from resnets.training.used_time import EVERY_SECONDS, write_used
from resnets.training.votes import Votes

_LOSSES = "losses"


class Callback(Protocol):
    """What the loop calls between steps."""

    def after_step(self, losses: list[Tensor], failed: DataError | None = None) -> None:
        """Called after each step.

        Args:
            losses: of the steps that are not logged yet.
            failed: why this rank will have no batch for one of the next steps.
        """
        ...

    def before_evaluation(self) -> None:
        """Called before each evaluation."""
        ...

    def after_evaluation(self, scores: Scores) -> None:
        """Called after each evaluation, with its result."""
        ...


class CheckpointCallback:
    """The `Callback` that writes checkpoints and the best model, and stops the run when asked.

    Args:
        monitor: the metric that picks the best model; None for none.
        asked: signals that asked to stop; see `stop_signals`.
        log_bytes: returns the present length of the log.
        save_best: saves the evaluated weights as the best model.
        on_scores: called on rank 0 with the scores of every evaluation.
        found: the checkpoint from which the run continues.
        unlogged: losses of steps that are not logged yet.
        budget: of time; None for none.
        emit: called with the event of a new plan.
    """

    def __init__(
        self,
        training: Training,
        checkpoints: CheckpointPolicy,
        folder: Path,
        *,
        monitor: Metric | None,
        recipe_sha256: str,
        asked: list[int],
        log_bytes: Callable[[], int],
        save_best: Callable[[Scores], None],
        on_scores: Callable[[Scores], None] = lambda scores: None,
        found: Saved | None = None,
        unlogged: list[Tensor],
        budget: TimeBudget | None = None,
        emit: Subscriber = lambda event: None,
    ) -> None:
        self.budget = budget
        self._used_noted = 0.0
        self._emit = emit
        self._first = training.steps_done
        self.training = training
        self.checkpoints = checkpoints
        damaged = found.damaged if found else ()
        self.writer = Writer(folder, checkpoints.keep, damaged) if training.ranks.is_main else None
        self.monitor = monitor
        self.recipe_sha256 = recipe_sha256
        best = found.state.best if found else None
        # A run that version 0.1 began did not note the loss of its best model: the next one that ties replaces it.
        self.best = (best, -sys.float_info.max) if isinstance(best, float) else best
        self._asked = asked
        self._votes = Votes(training.ranks)
        self._log_bytes = log_bytes
        self._save_best = save_best
        self._on_scores = on_scores
        self._before = found.state.seconds if found else 0.0
        self._started = self._saved = time.monotonic()
        self.waited = 0.0  # seconds that training waited for checkpoints
        self.unlogged = unlogged
        self.seen = training.steps_done  # the last step after which the run's state was whole
        self.evaluation_pending = found is not None and found.state.evaluation_pending
        self.unimproved = found.state.unimproved if found else 0
        if not self.evaluation_pending:
            self._end_where_patience_says_so()  # a run that was interrupted after that, as its model was scored

    @property
    def seconds(self) -> float:
        """Seconds of training so far, over all starts of the run."""
        return self._before + time.monotonic() - self._started

    def cost(self) -> dict[str, float]:
        """Returns the seconds that training waited for checkpoints, and the CPU seconds of the thread that writes."""
        return {"waited": self.waited, "writing": self.writer.cpu_seconds if self.writer else 0.0}

    def after_step(self, losses: list[Tensor], failed: DataError | None = None) -> None:
        """Writes a checkpoint if one is due and stops if asked to; all ranks do so together, so a step later.

        Raises:
            DataError: with several ranks, one will have no batch; all have saved before.
            InterruptedRunError: the run was asked to stop, and has saved.
        """
        started = time.monotonic()
        self.unlogged = losses
        self.seen = self.training.steps_done
        if self.training.steps_done == self.training.total_steps:
            return
        proposed = self._propose(losses)
        fails = failed is not None and self.training.ranks.world > 1  # alone, the loop raises it at once
        stop, save, ends, total = self._votes.result(bool(self._asked), self._is_due(), fails, proposed)
        self._plan_anew(total)
        if ends:
            self.save()
            self.close()
            self.training.ranks.barrier()  # saving may take rank 0 long
            reasons = self.training.ranks.gather(str(failed) if failed else None)  # none leaves before it is saved
            raise DataError(next(reason for reason in reasons if reason))
        if save or stop or self._is_step_due():
            self.save()
        self._votes.cast(bool(self._asked), self._is_due(), fails, proposed)
        self.waited += time.monotonic() - started
        if stop:
            self._end()

    def before_evaluation(self) -> None:
        """Stops if asked to, all ranks together; the evaluation is then done on resume.

        Raises:
            InterruptedRunError: the run was asked to stop, and has saved.
        """
        self.unlogged = []  # a step that is evaluated was logged
        self.seen = self.training.steps_done
        self.evaluation_pending = True
        if self.budget is not None:
            self.budget.before_evaluation()
        if any(self.training.ranks.gather(bool(self._asked))):
            self.stop_evaluation()

    def stop_evaluation(self) -> NoReturn:
        """Saves the step whose evaluation was interrupted, and raises InterruptedRunError."""
        self.save()
        self._end()

    def _end(self) -> NoReturn:
        self.close()
        self.training.ranks.barrier()  # saving may take rank 0 long
        self.training.ranks.gather(None)  # no rank leaves, or reports the step as saved, before it is
        number = self._asked[0] if self._asked else signal.SIGTERM
        raise InterruptedRunError("Stopped, as asked.", number)

    def after_evaluation(self, scores: Scores) -> None:
        """Saves the model if it is the best so far; of equal ones that of lower loss, then the later.

        Ends the run where patience says so: after so many evaluations whose value is not above the best one's, or not
        finite. All ranks have the same scores, and end it together.
        """
        self.evaluation_pending = False
        candidate = None if self.monitor is None else goodness(self.monitor, scores.metrics)
        improved = candidate is not None and (self.best is None or candidate[0] > self.best[0])
        self.unimproved = 0 if improved or self.monitor is None else self.unimproved + 1
        if candidate is not None and (self.best is None or candidate >= self.best):
            self.best = candidate
            if self.training.ranks.is_main:
                self._save_best(scores)
        if self.training.ranks.is_main:
            self._on_scores(scores)
        if self.budget is not None:
            self.budget.after_evaluation()
        self._end_where_patience_says_so()

    def _end_where_patience_says_so(self) -> None:
        step, patience = self.training.steps_done, self.checkpoints.patience
        if patience is not None and self.unimproved >= patience and step < self.training.total_steps:
            self.training.length.stop(step)

    def save(self) -> None:
        """Starts writing a checkpoint of the step that was just done.

        Raises:
            TrainingError: a gradient was not finite, so the state is of no use.
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
            lengths=self.training.length.planned,
            budget=self.budget.state() if self.budget else None,
            unimproved=self.unimproved if self.checkpoints.patience is not None else 0,
        )
        self.writer.write(self.training.state() | {_LOSSES: pending}, state)

    def close(self) -> None:
        """Waits until the last checkpoint is on the disk. Raises `FileError` if it could not be written."""
        if self.writer is not None:
            self.writer.wait()

    def _propose(self, losses: list[Tensor]) -> int:
        """Measures the step, and returns the steps of the whole run where its plan should change, by the clock of rank
        0; else 0. A GPU is known to have done its steps where they were just logged."""
        step = self.training.steps_done
        if self.budget is None or step == self._first:  # there, only an evaluation was made up for
            return 0
        synchronized = self.training.device.type == "cpu" or not losses
        self.budget.after_step(self.training.length, step, synchronized=synchronized)
        if not synchronized or self.writer is None:  # which rank 0 alone has
            return 0
        if (used := self.budget.used) - self._used_noted >= EVERY_SECONDS:
            self._used_noted = used
            write_used(self.writer.folder, used)
        return self.budget.proposal(self.training.length, step)

    def _plan_anew(self, total: int) -> None:
        """Plans `total` steps for the run, on all ranks after the same step; 0 keeps the plan."""
        length = self.training.length
        change = admitted(length, self.training.steps_done, total)
        if self.budget is None or change is None:
            return
        before = length.planned[-1].total
        length.change(*change)
        self._emit(self.budget.event(length, before))

    def _is_due(self) -> bool:
        """Whether it is time for a checkpoint, by the clock of the rank that writes them."""
        minutes = self.checkpoints.minutes
        if minutes is not None and self.budget is not None:  # what is done after the last one is lost by a kill
            minutes = min(minutes, CHECKPOINTED * self.budget.minutes)
        return self.training.ranks.is_main and minutes is not None and time.monotonic() - self._saved >= 60 * minutes

    def _is_step_due(self) -> bool:
        """Whether a checkpoint is due after this step, the same on every rank."""
        return self.checkpoints.steps is not None and self.training.steps_done % self.checkpoints.steps == 0


def goodness(monitor: Metric, metrics: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Returns what models are compared by, higher being better: the value of `monitor`, then the loss; None for none.

    Args:
        metrics: of an evaluation, or its event in the log, where None stands for what is not finite.
    """
    value, loss = (math.nan if metrics.get(name) is None else float(metrics[name]) for name in (monitor.name, "loss"))
    if not math.isfinite(value):
        return None
    return (
        value if monitor.direction == "max" else -value,
        -loss if math.isfinite(loss) else -sys.float_info.max,  # JSON has no infinities
    )


def pending_losses(tensors: dict[str, Tensor], training: Training) -> list[Tensor]:
    """Returns the losses in a checkpoint that its run had not logged: on rank 0, as they are summed over ranks."""
    losses = tensors[_LOSSES].to(training.device)
    return list(losses if training.ranks.is_main else torch.zeros_like(losses))
