"""An evaluation that is given up, by all ranks together, when one of them is asked to stop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from resnets.data.sources import Source, SplitName
from resnets.evaluation.judge import Judge
from resnets.evaluation.score import Scores, score
from resnets.tasks.task import Task
from resnets.training.ranks import Ranks

_POLL_SECONDS = 1.0


class EvaluationStopped(Exception):  # noqa: N818 - no error: what was asked for
    """The run was asked to stop while it evaluated."""


class _StoppedHere(EvaluationStopped):
    """This rank has stopped; the others do not know yet."""


class Interruptible:
    """Scores as `evaluation.score` does, until a signal asks to stop.

    Args:
        asked: signals that asked this rank to stop.
    """

    def __init__(self, ranks: Ranks, asked: Sequence[int]) -> None:
        self._ranks = ranks
        self._asked = asked
        self._polled = 0.0

    def score(self, judge: Judge, task: Task, source: Source, *, split: SplitName, workers: int) -> Scores:
        """The scores of `judge` on every sample of `source`.

        Raises:
            EvaluationStopped: on every rank, where any was asked to stop.
        """
        ranks = self._ranks
        try:
            return score(
                _Stoppable(judge, self),
                task,
                source,
                split=split,
                workers=workers,
                rank=ranks.rank,
                world=ranks.world,
                gather=self._gather,
            )
        except _StoppedHere:
            ranks.gather((True, None))
            raise EvaluationStopped from None

    def check(self) -> None:
        """Raises `EvaluationStopped` where this or, as far as is known here, another rank was asked to stop."""
        if self._asked:
            self._ranks.ask_to_stop()
            raise _StoppedHere
        if self._ranks.world > 1 and time.monotonic() - self._polled > _POLL_SECONDS:
            self._polled = time.monotonic()
            if self._ranks.is_asked_to_stop():
                raise _StoppedHere

    def _gather(self, value: Any) -> list[Any]:
        everyone = self._ranks.gather((False, value))
        if any(stopped for stopped, _ in everyone):
            raise EvaluationStopped
        return [own for _, own in everyone]


class _Stoppable:
    """A judge that looks for signals between batches."""

    def __init__(self, judge: Judge, watched: Interruptible) -> None:
        self._judge = judge
        self._watched = watched

    def see(self, source: Source, index: int) -> Any:
        return self._judge.see(source, index)

    def outputs(self, seen: Sequence[Any]) -> Tensor:
        self._watched.check()
        return self._judge.outputs(seen)
