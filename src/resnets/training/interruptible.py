"""An evaluation that all ranks abandon together when a signal asks one of them to stop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from resnets.evaluation.predictor import Predictor
from resnets.evaluation.scoring import Scores, score
from resnets.modalities.base import Dataset, SplitName
from resnets.modalities.batch import Batch
from resnets.tasks.base import Task
from resnets.training.distributed import Ranks

_POLL_SECONDS = 1.0


class EvaluationStopped(Exception):  # noqa: N818 - not an error: the user asked for it
    """A signal asked the run to stop while it evaluated."""


class _StoppedHere(EvaluationStopped):
    """This rank has stopped, and the others do not know it yet."""


class Interruptible:
    """Scores as `evaluation.scoring.score` does, until a signal asks to stop.

    Args:
        asked: signals that asked this rank to stop; the list grows as they arrive.
    """

    def __init__(self, ranks: Ranks, asked: Sequence[int]) -> None:
        self._ranks = ranks
        self._asked = asked
        self._polled = 0.0

    def score(
        self,
        predictor: Predictor,
        task: Task,
        dataset: Dataset,
        *,
        split: SplitName,
        choose: bool,
        watched: SplitName,
        workers: int,
    ) -> Scores:
        """Returns the scores of `predictor` on every sample of `dataset`.

        Raises:
            EvaluationStopped: on every rank, if any was asked to stop.
        """
        ranks = self._ranks
        try:
            return score(
                _Stoppable(predictor, self),
                task,
                dataset,
                split=split,
                choose=choose,
                watched=watched,
                workers=workers,
                rank=ranks.rank,
                world=ranks.world,
                gather=self._gather,
            )
        except _StoppedHere:
            ranks.gather((True, None))
            raise EvaluationStopped from None

    def check(self) -> None:
        """Raises `EvaluationStopped` if this rank was asked to stop, or another one that has said so."""
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
    """A predictor that checks for signals before each batch."""

    def __init__(self, predictor: Predictor, interruptible: Interruptible) -> None:
        self._predictor = predictor
        self._interruptible = interruptible

    def load(self, dataset: Dataset, index: int) -> Any:
        return self._predictor.load(dataset, index)

    def predict(self, inputs: Sequence[Any]) -> Any:
        self._interruptible.check()
        return self._predictor.predict(inputs)

    def losses(self, inputs: Sequence[Any], targets: Batch, keys: Sequence[int]) -> Tensor | None:
        self._interruptible.check()
        return self._predictor.losses(inputs, targets, keys)
