"""The answers to many inputs: of one process or of several ranks, from the start or from where a command was cut."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from resnets.commands.predictions import Answers
from resnets.commands.unfinished import Key, Unfinished, key_of
from resnets.core.errors import DataError, UsageError
from resnets.core.progress import Line
from resnets.core.units import show_count

if TYPE_CHECKING:
    from resnets.artifacts.model import Model
    from resnets.evaluation.tiles import Tiles
    from resnets.modalities.given import Given
    from resnets.training.distributed import Ranks

WIDTH = 20  # characters of the bar


@dataclass(frozen=True, kw_only=True)
class Answering:
    """How inputs are answered.

    Args:
        top, tta, workers: as of `Model.predict_many`.
        keeps: whether the inputs are kept, and not only their names.
        unfinished: the answers before an interruption, to which those of now are added; None for none.
        ranks: all of which call `run` with the same inputs and share them.
        line: shows how far it is.
        tiles: into which images are cut; None for whole images.
    """

    model: Model
    top: int
    tta: str | None
    workers: int | None
    keeps: bool
    unfinished: Unfinished | None
    ranks: Ranks
    line: Line
    size: int | tuple[int, int] | None = None
    tiles: Tiles | None = None
    _started: float = field(default_factory=time.monotonic)

    def run(self, inputs: Iterable[Given], total: int | None = None) -> Answers:
        """The answers to `inputs`, in their order, on every rank: those of one process, to the last bit.

        Batches are cut from the inputs that have no answer yet, in their order, and each rank takes one in turn.

        Args:
            total: how many there are, where that is known.
        """
        from resnets.evaluation.scoring import batch_of

        batch = batch_of(self.model.task)
        kept: list[Any] = []
        answers: list[Any] = []
        own: dict[int, Any] = {}
        pending: deque[tuple[int, Key | None]] = deque()

        before = 0  # inputs that were answered before the command began

        def todo() -> Iterator[Given]:
            nonlocal before
            remaining = 0
            for each in inputs:
                key = None if self.unfinished is None else key_of(each.value)
                known = None if self.unfinished is None or key is None else self.unfinished.answer(key)
                kept.append(each if self.keeps else each.name)
                answers.append(known)
                if known is not None:
                    before += 1
                    continue
                remaining += 1
                if (remaining - 1) // batch % self.ranks.world == self.ranks.rank:
                    pending.append((len(answers) - 1, key))
                    yield each

        for _, answer in self._answers(todo()):
            number, key = pending.popleft()
            own[number] = answer
            if self.unfinished is not None and key is not None and not isinstance(answer, DataError):
                self.unfinished.add(key, answer)
            if self.unfinished is not None and len(own) % batch == 0:
                self.unfinished.batch_done()
            self._show(len(own) * self.ranks.world, before, total)
        if self.unfinished is not None and len(own) % batch:
            self.unfinished.batch_done()
        self.ranks.barrier()  # as long as the slowest takes
        failed: dict[int, DataError] = {}
        for number, answer in sorted(each for part in self.ranks.gather(list(own.items())) for each in part):
            if isinstance(answer, DataError):
                failed[number] = answer
            else:
                answers[number] = answer
        return Answers(self.model.card, kept, answers, failed, size=self.size)

    def _answers(self, inputs: Iterable[Given]) -> Iterator[tuple[str, Any]]:
        if self.tiles is None:
            return self.model.answers(inputs, self.top, None, self.workers, self.tta)
        from resnets.artifacts.answers import answers_to
        from resnets.evaluation.tiles import TiledPredictor

        tiled = TiledPredictor(self.model.predictor(self.tta), self.tiles, self.model.card.preprocessing)
        # One at a time, since a decoded image may be large: the next one is decoded meanwhile.
        return answers_to(inputs, tiled, self.model.card, self.top, 1, 1)

    def _show(self, done: int, before: int, total: int | None) -> None:
        noun = self.model.card.preprocessing.noun
        seconds = time.monotonic() - self._started
        if total is None:
            self.line(f"predict  {show_count(before + done, noun)}")
            return
        answered = min(before + done, total)
        share = answered / total
        left = seconds / done * (total - answered)
        self.line(
            f"predict  {'█' * round(WIDTH * share):░<{WIDTH}} {share:4.0%}  {answered:,} of {show_count(total, noun)}  "
            f"{done / max(seconds, 1e-9):,.0f}/s  {int(left // 60)}:{int(left % 60):02} left"
        )


def shared_paths(inputs: Iterable[Given], ranks: Ranks) -> list[Given]:
    """The inputs as rank 0 has them, on every rank: files alone.

    Raises:
        UsageError: one is no file.
        TrainingError: rank 0 could not list them.
    """
    from resnets.modalities.given import Given
    from resnets.training.agreement import from_rank_0

    def listed() -> list[str]:
        found = list(inputs)
        if any(not isinstance(each.value, str | os.PathLike) for each in found):
            raise UsageError("Several ranks share files: give paths, or predict in one process.")
        return [os.fsdecode(each.value) for each in found]

    return [Given(path, path) for path in from_rank_0(ranks, listed)]
