"""Where the events of a run go: into its log, its history and on to its subscribers."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from resnets.core.config import encode
from resnets.core.console import say
from resnets.data.leaks import started
from resnets.modalities.catalog import summary
from resnets.training.distributed import Ranks
from resnets.training.events import Event, Subscriber
from resnets.training.plan import Plan
from resnets.training.prepare import PreparedData
from resnets.training.run_log import Log, read_log
from resnets.training.step import Training
from resnets.training.subscribers import Subscribers


class EventRecorder:
    """Records the events of a run on rank 0; on the other ranks it does nothing.

    Args:
        path: of the log.
        length: bytes of the log that are kept, as the checkpoint has it from which the run goes on; 0 for a new log.
    """

    def __init__(self, path: Path, subscribers: Sequence[Subscriber], ranks: Ranks, length: int = 0) -> None:
        kept = length if os.path.lexists(path) else 0
        self.history: list[Event] = read_log(path, kept) if ranks.is_main and kept else []
        self._log = Log(path, kept) if ranks.is_main else None
        self._subscribers = Subscribers(
            subscribers if ranks.is_main else (), lambda line: self.record({"event": "warning", "message": line})
        )

    def emit(self, event: Event) -> None:
        """Records `event` and passes it on to the subscribers."""
        self.record(event)
        self.publish(event)

    def record(self, event: Event) -> None:
        """Writes `event` to the log and the history alone."""
        if self._log:
            self._log(event)
            self.history.append(event)

    def publish(self, event: Event) -> None:
        """Passes `event` on to the subscribers alone."""
        self._subscribers(event)

    def warn(self, message: str) -> None:
        """Emits a warning, and prints it to standard error."""
        self.emit({"event": "warning", "message": message})
        if self._log:
            say(f"resnets: {message}", stream=sys.stderr)

    def log_bytes(self) -> int:
        """Length of the log, all of it on the disk."""
        return self._log.length() if self._log else 0

    def close(self) -> None:
        if self._log:
            self._log.close()


def emit_start(
    recorder: EventRecorder,
    plan: Plan,
    data: PreparedData,
    training: Training,
    notes: Sequence[str],
    resumed_after: int | None = None,
) -> None:
    """Emits the event that a run, or the resumed part of one, begins with.

    A resumed run shows its subscribers the event that its log began with, and records nothing: the log of a run that
    was cut off is that of one that was not.

    Args:
        notes: for the person who trains, a line each.
        resumed_after: steps done in the checkpoint that the run goes on from; None where it begins.
    """
    lines = list(notes)
    if resumed_after is not None and recorder.history:
        resumed = f"Going on after step {resumed_after} of {training.total_steps}."
        start = started(recorder.history) or _start(plan, data, training, [])
        recorder.publish(
            {
                **start,
                "steps": training.total_steps,
                "notes": [*start.get("notes", []), resumed, *lines],
                "resumed_after": resumed_after,
            }
        )
        return
    if resumed_after is not None:
        lines.insert(0, f"The log was gone: a new one begins after step {resumed_after}.")
    start = _start(plan, data, training, lines)
    recorder.record(start)
    recorder.publish({**start, "resumed_after": resumed_after or 0})


def _start(plan: Plan, data: PreparedData, training: Training, notes: list[str]) -> Event:
    return {
        "event": "start",
        "recipe": plan.recipe.name,
        "data": summary(plan.recipe.data, data.splits),
        "task": plan.recipe.task.name,
        "noun": plan.recipe.preprocessing.noun,
        "steps": training.total_steps,
        "epochs": training.total_steps * plan.recipe.batch / len(data.train),
        "train_samples": len(data.train),
        "test_samples": len(data.test),
        "leaked_samples": data.leaked.get(data.splits.watched, 0),
        "leaked": data.leaked,
        "split": data.splits.watched,
        "parameters": sum(p.numel() for p in training.network.parameters()),
        "environment": encode(plan.environment),
        "world": training.ranks.world,
        "notes": [*data.notes, *notes],
    }
