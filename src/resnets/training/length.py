"""The length of a run in steps, and what depends on it: the share of its schedule that is done, and its evaluations.

Most runs have one length. A run with a time budget (`training.budget`) is planned anew as it goes: its planned lengths
are (s_0, T_0), (s_1, T_1), ... with s_0 = 0, where T_k is the length of the whole run and holds from step s_k. The
share of the schedule that is done before step s (from 0) is

    p(s) = p(s_k) + (1 - p(s_k)) (s - s_k) / (T_k - s_k)    for s_k <= s <= s_{k+1},    p(0) = 0

A change of plan thus moves no rate: the schedule goes on from where it is, and what is left of it is stretched, or
compressed, to the new end. Its last value is reached at the last step, whatever was planned before. With one length,
p(s) = s / T_0. Whatever follows the schedule (learning rate, warm-up, progressive resizing) is a function of p, so that
it depends on the recipe, the planned lengths and the step alone. The order of the data, random numbers and epochs
depend on the step and not on the length.

In a run with a time budget, the warm-up takes the share w = min(W / T_0, `WARMUP_SHARE`) of the schedule, where W is
its length in steps by the recipe; so it ends before the run does, however the plan changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.training import schedules
from resnets.training.recipe import MAX_STEPS, Recipe

WARMUP_SHARE = 0.2  # of a run with a time budget, at most


@dataclass(frozen=True, kw_only=True)
@checked
class PlannedLength:
    """The length of a run as planned at some step.

    Args:
        step: steps done when it begins to hold.
        total: steps of the whole run.
        evaluate_every: epochs between evaluations.

    Raises:
        UsageError: the run would have ended before the plan begins.
    """

    step: int
    total: int
    evaluate_every: float

    def __post_init__(self) -> None:
        if not 0 <= self.step < self.total <= MAX_STEPS or not self.evaluate_every > 0:
            raise UsageError(f"A run cannot be planned at step {self.step} to end at {self.total}.")


class RunLength:
    """The length of a run, or of one phase of it.

    Args:
        samples: size of the training set.
        first_step: steps that were done before the recipe begins; step numbers continue from there.
        planned: the lengths of a run with a time budget so far; none for the length that the recipe has.

    Raises:
        UsageError: the recipe has neither a length nor a planned one, or the planned ones do not follow one another.
    """

    def __init__(
        self, recipe: Recipe, samples: int, *, first_step: int = 0, planned: Sequence[PlannedLength] = ()
    ) -> None:
        if not planned and recipe.minutes is not None:
            raise UsageError(f"The steps of {recipe.minutes:g} minutes are not known before the run has measured them.")
        self.recipe = recipe
        self.samples = samples
        self.first_step = first_step
        self.planned: tuple[PlannedLength, ...] = ()
        self.stopped_after: int | None = None  # steps done when the run was ended before its plan
        # Of each planned length: its first step, the share that is done by then, and its end.
        self._spans: list[tuple[int, float, int]] = []
        self._warmup_steps = recipe.steps_at(recipe.warmup.epochs, samples) if recipe.warmup else 0
        if not planned:
            self._spans = [(0, 0.0, recipe.total_steps(samples))]
            self.evaluated_after = {first_step + step for step in recipe.evaluation_steps(samples)}
        for length in planned:
            self._add(length)

    @property
    def total(self) -> int:
        """Steps done when the run, as planned now, has ended."""
        if self.stopped_after is not None:
            return self.stopped_after
        return self.first_step + self._spans[-1][2]

    @property
    def first_total(self) -> int:
        """The total that was planned first."""
        return self.first_step + self._spans[0][2]

    def change(self, step: int, total: int) -> None:
        """Plans `total` steps for a run of which `step` are done.

        Raises:
            UsageError: the plan before begins later, or ends before this one begins.
        """
        self._add(replace(self.planned[-1], step=step, total=total))

    def stop(self, step: int) -> None:
        """Ends the run after `step` steps. Its schedule is cut there, not compressed."""
        self.stopped_after = step

    def share(self, step: int) -> float:
        """Returns the share p of the schedule that is done before `step` (from 0); see the equation above."""
        own = step - self.first_step
        start, done, end = next(span for span in reversed(self._spans) if span[0] <= own)
        return done + (1 - done) * (own - start) / (end - start)

    def input_size(self, step: int) -> int | None:
        """Returns the size of the inputs of `step` (from 0), where it changes during training."""
        return self.recipe.augmentations.size_at(min(1.0, self.share(step)))

    def warmup_factor(self, step: int) -> float:
        """Returns the factor of the learning rate that the warm-up gives `step` (from 0)."""
        warmup, steps = self.recipe.warmup, self._warmup_steps
        if not self.planned or warmup is None or not steps:
            return schedules.warmup_factor(warmup, step - self.first_step, steps)
        share = min(steps / self.planned[0].total, WARMUP_SHARE)
        if self.share(step) >= share:
            return 1.0
        if warmup.shape == "constant":
            return warmup.factor
        return warmup.factor + (1 - warmup.factor) * min(1.0, self.share(step + 1) / share)

    def _add(self, length: PlannedLength) -> None:
        before = self.planned[-1] if self.planned else None
        if length.step != 0 if before is None else not before.step <= length.step < before.total:
            raise UsageError(f"A run cannot be planned anew at step {length.step}: it is not in the plan before.")
        self._spans.append((length.step, self.share(length.step) if before else 0.0, length.total))
        self.planned = (*self.planned, length)
        self.evaluated_after = self._evaluations(length)

    def _evaluations(self, length: PlannedLength) -> set[int]:
        """The steps after which a run with a time budget is evaluated: the last, and none shortly before it."""
        every = length.evaluate_every * self.samples / self.recipe.batch
        count = max(0, math.floor(length.total / every - 0.5))
        return {self.recipe.steps_at(length.evaluate_every * i, self.samples) for i in range(1, count + 1)} | {
            length.total
        }
