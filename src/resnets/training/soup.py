"""A greedy soup: the average of the weights of a run's best evaluations, as far as it is no worse on `val`.

Algorithm 1 of Wortsman et al. 2022 (2203.05482), there over runs of several settings, here over the last weights of
one. Its ingredients are sorted by their metric on `val`. The soup begins with the best, and each following one is kept
where the average with it is not worse. Running statistics of batch norm are averaged like weights.

The ingredients lie in the folder of the run, a file each, so that a run that is killed has them when it goes on. Those
of steps after the checkpoint that it goes on from are removed, as the run comes to these again.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from resnets.artifacts import model_file
from resnets.artifacts.model_file import ModelCard
from resnets.core.errors import FileError
from resnets.evaluation.scoring import Scores
from resnets.tasks.metric import Metric
from resnets.training import agreement
from resnets.training.callbacks import goodness
from resnets.training.distributed import Ranks
from resnets.training.events import Event

Weights = dict[str, Tensor]
_NAME = re.compile(r"step-([0-9]{9,18})\.safetensors")


@dataclass(frozen=True)
class Soup:
    """The average that was chosen.

    Args:
        scores: of it, on `val`.
        event: for the log.
    """

    weights: Weights
    scores: Scores
    event: Event


class Ingredients:
    """The weights of the best evaluations of a run.

    Args:
        folder: that holds them.
        most: how many are kept.
        metric: by which they are compared; of equal ones that of lower loss is better, then the later.
    """

    def __init__(self, folder: Path, most: int, metric: Metric) -> None:
        self._folder = folder
        self._most = most
        self._metric = metric
        self._values: dict[Path, tuple[float, ...]] = {}

    def add(self, step: int, weights: Weights, card: ModelCard) -> None:
        """Keeps the weights of an evaluation if they are among the best. Called on rank 0.

        Args:
            card: with the metrics of the evaluation.

        Raises:
            FileError: a file cannot be written or read.
        """
        value = goodness(self._metric, card.metrics)
        if value is None:
            return
        self._folder.mkdir(exist_ok=True)
        path = self._folder / f"step-{step:09}.safetensors"
        model_file.save(path, weights, card)
        self._values[path] = value
        for path in self.best_first()[self._most :]:
            path.unlink(missing_ok=True)

    def remove(self, after: int) -> None:
        """Removes those of steps after `after`, and with -1 the folder. Called on rank 0."""
        for path in self._files():
            if _step_of(path) > after:
                path.unlink(missing_ok=True)
        if after < 0:
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    def best_first(self) -> list[Path]:
        """Returns the files, the best first.

        Raises:
            FileError: one is damaged.
        """
        files = self._files()
        for path in files:
            if path not in self._values:  # of an earlier process
                self._values[path] = goodness(self._metric, self._load(path)[1].metrics) or ()
        return sorted(files, key=lambda path: (self._values[path], _step_of(path)), reverse=True)

    def cook(self, evaluate: Callable[[Weights], Scores], ranks: Ranks) -> Soup | None:
        """Returns the greedy soup; None where no evaluation had a finite metric. Called on every rank.

        Raises:
            FileError: a file cannot be read.
        """
        paths = agreement.from_rank_0(ranks, self.best_first)
        kept: list[Path] = []
        total: Weights = {}
        best: Soup | None = None
        for path in paths:
            weights = agreement.together(ranks, lambda path=path: self._load(path)[0])  # type: ignore[misc]
            tried = _added(total, weights)
            average = _mean(tried, len(kept) + 1, weights)
            scores = evaluate(average)
            if best is None or self._value(scores) >= self._value(best.scores):
                kept, total, best = [*kept, path], tried, Soup(average, scores, {})
        if best is None:
            return None
        steps = [_step_of(path) for path in kept]
        name = self._metric.name
        event = {
            "event": "soup",
            "tried": len(paths),
            "kept": steps,
            "metric": name,
            "value": best.scores.metrics[name],
        }
        return Soup(best.weights, best.scores, event)

    def _value(self, scores: Scores) -> float:
        """The metric of `scores`, higher being better."""
        found = goodness(self._metric, scores.metrics)
        return -float("inf") if found is None else found[0]

    def _load(self, path: Path) -> tuple[Weights, ModelCard]:
        try:
            return model_file.load(path)
        except FileError as error:
            raise FileError(f"{error} If it is removed, the soup is made without it: resume then.") from error

    def _files(self) -> list[Path]:
        return [path for path in sorted(self._folder.glob("step-*")) if _NAME.fullmatch(path.name)]


def _step_of(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def _added(total: Weights, weights: Weights) -> Weights:
    """The sums of the floating-point entries, in float64."""
    floating = {name: value.double() for name, value in weights.items() if value.is_floating_point()}
    return {name: total[name] + value for name, value in floating.items()} if total else floating


def _mean(total: Weights, count: int, like: Weights) -> Weights:
    """The means in the types of `like`, which has the entries that are counters."""
    return {
        name: (total[name] / count).to(value.dtype) if name in total else torch.clone(value)
        for name, value in like.items()
    }
