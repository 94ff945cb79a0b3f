"""A time budget, `--minutes N`: how many steps fit, planned from measured speed and planned again as the run goes.

Training, evaluation and saving end within N minutes. What is used counts from the start of the process (on the command
line; from the call in Python), over all starts of the run, with what a kill undid (`training.used_time`); the time
between a kill and a resume does not count. With u seconds used of N minutes, the steps that are left are the most n
with

    n c t + e(n) t_e + t_end <= 60 N (1 - RESERVE) - RESERVE_SECONDS - u

where t is the time of a step at the largest input size, c the mean cost of the steps to come relative to that (below 1
with progressive resizing), e(n) the number of evaluations, t_e the time of one, and t_end the time of saving and of
what else is done at the end. All are measured: before the run on the real data and network (`training.speed`), then as
it goes. t is a mean over the last steps that weighs old ones less and less, by exp(-age / `MEMORY` of the budget). The
first steps of a start, which load and compile, are left out of it. Where steps are slower now than when t_e and t_end
were measured, these count as slower by the same factor, at most `MOST_SLOWED`. What a plan means for the schedule is in
`training.length`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from resnets.core.config import OMITTED_BY_DEFAULT
from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.data.loader import PREFETCHED_BATCHES
from resnets.training.events import Event
from resnets.training.length import PlannedLength, RunLength
from resnets.training.recipe import Recipe

RESERVE, RESERVE_SECONDS = 0.01, 1.0  # of the budget, for what no plan foresees; and for the end of the process
MEMORY = 0.1  # of the budget: the age at which a measured step counts 1/e
MEASURED = 0.02  # of the budget: how long steps are measured before the run
CHECK = 0.05  # of the time that is left: how often the plan is checked
TOLERANCE, LEAST_TOLERANCE = 0.02, 0.003  # a plan that is off by less is kept: of the time left, and of the budget
LAST_STEPS = 0.02  # of the run: a plan is not shortened below this, so that the schedule reaches its last values
MOST_SLOWED = 2.0  # factor by which an evaluation and the end count as slower than measured
EVALUATING = 0.05  # of the time of training, at most: evaluations are done less often where they take more
LEAST_STEPS, USEFUL_STEPS = 10, 100  # a useful run has an epoch, or these
PREFETCH_LEAD = PREFETCHED_BATCHES + 3  # steps after the present one that may have been decoded already
CHECKPOINTED = 0.05  # of the budget: the longest time between two checkpoints
_POINTS = 32  # at which the cost of a step is averaged over the schedule


@dataclass(frozen=True, kw_only=True)
@checked
class BudgetState:
    """What a run with a time budget has used and measured, in seconds.

    Args:
        used: of the budget.
        step: of a step at the largest input size.
        evaluation: of an evaluation.
        ending: of what is done after the last evaluation.
        preparation: of what is done before the first step; known before the run alone.

    Raises:
        UsageError: one is negative or not finite.
    """

    used: float
    step: float
    evaluation: float
    ending: float
    preparation: float = field(default=0.0, metadata=OMITTED_BY_DEFAULT)

    def __post_init__(self) -> None:
        if min(self.used, self.step, self.evaluation, self.ending, self.preparation) < 0:
            raise UsageError("a time of the budget is out of range.")


class TimeBudget:
    """The time budget of a run, and what its parts cost.

    Args:
        minutes: of the whole run.
        state: what earlier starts have used, and what was measured.
        started: when this start of the run began, by `clock`.
        clock: returns seconds.
    """

    def __init__(
        self, minutes: float, state: BudgetState, *, started: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.minutes = minutes
        self._evaluation = state.evaluation
        self._ending = state.ending
        self._step_at_evaluation = self._step_at_ending = state.step
        self._preparation = state.preparation
        self._clock = clock
        self._started = started - state.used
        self._seconds = MEASURED * 60 * minutes
        self._work = self._seconds / max(state.step, 1e-9)  # steps at the largest size, done in these seconds
        self._undone = 0.0  # of the steps since `_mark`
        self._mark: float | None = None
        self._paused = started
        self._due = math.inf  # until the first steps are measured
        self._evaluated = False

    @property
    def used(self) -> float:
        """Seconds used so far, over all starts."""
        return self._clock() - self._started

    @property
    def left(self) -> float:
        """Seconds that are left to plan with."""
        return 60 * self.minutes * (1 - RESERVE) - RESERVE_SECONDS - self.used

    @property
    def step(self) -> float:
        """Seconds of a step at the largest input size."""
        return self._seconds / self._work

    @property
    def evaluation(self) -> float:
        """Seconds of an evaluation."""
        return self._evaluation * self._slowed(self._step_at_evaluation)

    @property
    def ending(self) -> float:
        """Seconds of what is done after the last evaluation."""
        return self._ending * self._slowed(self._step_at_ending)

    def state(self) -> BudgetState:
        return BudgetState(used=self.used, step=self.step, evaluation=self.evaluation, ending=self.ending)

    def after_step(self, length: RunLength, step: int, *, synchronized: bool) -> None:
        """Measures the step that was just done.

        Args:
            step: steps done.
            synchronized: whether the device has done them, too; else the next such step tells.
        """
        self._undone += _cost(length.recipe, length.share(step - 1))
        if not synchronized:
            return
        now = self._clock()
        if self._mark is None:
            self._due = now + CHECK * max(self.left, 0.0)
        else:
            self._add(now - self._mark)
        self._mark, self._undone = now, 0.0

    def before_evaluation(self) -> None:
        self._paused = self._clock()

    def after_evaluation(self) -> None:
        seconds = self._clock() - self._paused
        self._evaluation = (self._evaluation + seconds) / 2 if self._evaluated else seconds
        self._step_at_evaluation = self.step
        self._evaluated = True
        if self._mark is not None:
            self._mark += seconds  # an evaluation is no part of a step

    def first(self, recipe: Recipe, samples: int) -> PlannedLength:
        """Returns the length that a run is planned with before its first step.

        Args:
            samples: size of the training set.

        Raises:
            UsageError: the time is too short for a useful run; the message has the minutes that would do.
        """
        between = recipe.evaluate_every * samples / recipe.batch * _mean_cost(recipe, 0.0) * self.step
        every = recipe.evaluate_every * max(1, math.ceil(self.evaluation / (EVALUATING * between)))
        total = self._fitting(recipe, samples, 0, 0.0, every, self.left - self._preparation)
        epoch = math.ceil(samples / recipe.batch)
        useful = min(max(LEAST_STEPS, min(epoch, USEFUL_STEPS)), recipe.total_steps(samples))
        if total < useful:
            needed = self.used + self._preparation + self.evaluation + self.ending
            needed += useful * _mean_cost(recipe, 0.0) * self.step
            minutes = (1.1 * needed + RESERVE_SECONDS) / (1 - RESERVE) / 60
            digits = max(0, 1 - math.floor(math.log10(minutes)))
            minutes = math.ceil(minutes * 10**digits) / 10**digits
            raise UsageError(
                f"{self.minutes:g} minutes are too short for a useful run on this machine: {self.used:.1f} s are used, "
                f"{useful} steps take {useful * _mean_cost(recipe, 0.0) * self.step:.1f} s, evaluating and saving "
                f"{self.evaluation + self.ending:.1f} s. Give --minutes {minutes:g} or more, or take a smaller model, "
                "size or batch."
            )
        return PlannedLength(step=0, total=total, evaluate_every=every)

    def proposal(self, length: RunLength, step: int) -> int:
        """Returns the total that fits, where the plan should change; else 0.

        Args:
            step: steps done.
        """
        if self._mark is None or self._clock() < self._due:
            return 0
        left = self.left
        self._due = self._clock() + CHECK * max(left, 0.0)
        recipe, share = length.recipe, length.share(step)
        every = length.planned[-1].evaluate_every
        fitting = step + self._fitting(recipe, length.samples, step, share, every, left)
        least = step + min(length.total - step, max(1, math.ceil(LAST_STEPS * length.total)))
        total = min(max(fitting, least), recipe.total_steps(length.samples))
        off = abs(total - length.total) * self.step * _mean_cost(recipe, share)
        if off <= max(TOLERANCE * left, LEAST_TOLERANCE * 60 * self.minutes) or not admitted(length, step, total):
            return 0
        return total

    def notes(self, recipe: Recipe, length: PlannedLength, samples: int) -> list[str]:
        """Returns what a person should know of the first plan, a line each."""
        epochs = length.total * recipe.batch / samples
        passes = f"{epochs:.3g} epoch{'s' * (epochs != 1)}"
        lines = [
            f"{length.total:,} steps ({passes}) fit into {self.minutes:g} min: a step takes "
            f"{self.step:.3g} s, an evaluation {self.evaluation:.2g} s, and {self.used:.1f} s are used. The length is "
            "planned again as the run goes."
        ]
        if length.evaluate_every > recipe.evaluate_every:
            lines.append(f"Evaluations take their time: there is one every {length.evaluate_every:g} epochs.")
        return lines

    def event(self, length: RunLength, before: int | None = None) -> Event:
        """Returns the event of the newest plan of `length`.

        Args:
            before: the total of the plan before; None for the first plan.
        """
        planned, costs = length.planned[-1], self.state()
        return {
            "event": "plan",
            "step": planned.step,
            "total": planned.total,
            "epochs": planned.total * length.recipe.batch / length.samples,
            "evaluate_every": planned.evaluate_every,
            "reason": "first plan" if before is None else "slower" if planned.total < before else "faster",
            "used_seconds": costs.used,
            "step_seconds": costs.step,
            "evaluation_seconds": costs.evaluation,
            "ending_seconds": costs.ending,
        }

    def _slowed(self, step: float) -> float:
        """How much slower the machine is now than when a step took `step` seconds."""
        return min(max(1.0, self.step / max(step, 1e-9)), MOST_SLOWED)

    def _add(self, seconds: float) -> None:
        kept = math.exp(-seconds / (MEMORY * 60 * self.minutes))
        self._seconds = kept * self._seconds + seconds
        self._work = kept * self._work + self._undone

    def _fitting(self, recipe: Recipe, samples: int, step: int, share: float, every: float, left: float) -> int:
        """The most steps after `step` that fit into `left` seconds with their evaluations and the end."""
        cost = self.step * _mean_cost(recipe, share)
        steps = every * samples / recipe.batch  # between evaluations

        def needed(count: int) -> float:
            marks = max(0, math.floor((step + count) / steps - 0.5) - math.floor(step / steps))
            return count * cost + (1 + marks) * self.evaluation + self.ending

        low, high = 0, max(0, recipe.total_steps(samples) - step)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if needed(middle) <= left else (low, middle - 1)
        return low


def admitted(length: RunLength, step: int, total: int) -> tuple[int, int] | None:
    """Returns from which step on `total` can hold, and the total that then holds, the same on every rank.

    A batch that was decoded ahead has the input size of the plan before: with progressive resizing, a new plan begins
    after those. Near its end a run is not made longer, as no batch is decoded ahead then.

    Args:
        step: steps done.

    Returns:
        None where the plan before has to stay.
    """
    resized = length.recipe.augmentations.size_at(0.0) is not None
    begins = step + (PREFETCH_LEAD if resized else 0)
    late = step + PREFETCH_LEAD >= length.total
    if total == 0 or begins >= length.total or (late and total > length.total):
        return None
    total = max(total, begins + 1)
    return None if total == length.total else (begins, total)


def _cost(recipe: Recipe, share: float) -> float:
    """The time of a step at the share `share` of the schedule, relative to one at the largest input size in which as
    many parts learn as ever do."""
    shape = recipe.preprocessing.shape(recipe.augmentations.size_at(min(1.0, share)))
    learning = recipe.fine_tuning.cost(share, recipe.model, shape)
    size, largest = (recipe.augmentations.size_at(at) for at in (min(1.0, share), 1.0))
    return learning if size is None or not largest else learning * (size / largest) ** 2


def _mean_cost(recipe: Recipe, share: float) -> float:
    """The mean of `_cost` over the rest of the schedule."""
    return sum(_cost(recipe, share + (1 - share) * (i + 0.5) / _POINTS) for i in range(_POINTS)) / _POINTS
