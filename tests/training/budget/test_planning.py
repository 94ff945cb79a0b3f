"""How many steps fit into a time, on a clock that only the test moves."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from resnets.core import clock
from resnets.core.errors import UsageError
from resnets.modalities.image.transforms import Augmentations, ProgressiveResize, RandomResizedCrop
from resnets.recipes.catalog import find
from resnets.training import schedules
from resnets.training.budget import PREFETCH_LEAD, BudgetState, TimeBudget, admitted
from resnets.training.fine_tuning import FineTuning
from resnets.training.length import PlannedLength, RunLength
from resnets.training.recipe import Recipe
from resnets.training.schedules import Warmup

SAMPLES = 1437
RECIPE = replace(find("digits").with_length(minutes=2.0), warmup=Warmup(epochs=5), evaluate_every=1)
GROWING = replace(
    RECIPE,
    augmentations=Augmentations(
        crop=RandomResizedCrop(),
        progressive_resize=ProgressiveResize(start=4, stop=8, since=0.2, until=0.8, multiple=1),
    ),
)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Done:
    length: RunLength
    seconds: float
    last_rate: float  # as a share of the peak
    plans: int


def simulated(
    recipe: Recipe,
    seconds_of_step: Callable[[float, RunLength, int], float],
    *,
    measured: float = 0.1,
    evaluation: float = 0.5,
    ending: float = 1.0,
    used: float = 5.0,
    evaluates: float | None = None,
    ends: float | None = None,
) -> Done:
    """A run whose steps take `seconds_of_step` at a time, of a length and a number.

    Args:
        evaluates, ends: what an evaluation and the end take, where it is not what was measured before the run.
    """
    now = Clock(used)
    state = BudgetState(used=0.0, step=measured, evaluation=evaluation, ending=ending)
    budget = TimeBudget(recipe.minutes or 0, state, started=0.0, clock=now)
    length = RunLength(recipe, SAMPLES, planned=[budget.first(recipe, SAMPLES)])
    step = 0
    while True:
        now.now += seconds_of_step(now.now, length, step)
        step += 1
        if step in length.evaluated_after:
            budget.before_evaluation()
            now.now += evaluation if evaluates is None else evaluates
            budget.after_evaluation()
        if step == length.total:
            break
        budget.after_step(length, step, synchronized=step % 3 == 0)
        if (change := admitted(length, step, budget.proposal(length, step) if step % 3 == 0 else 0)) is not None:
            length.change(*change)
    rate = schedules.factor(recipe.schedule, length.share(step - 1)) * length.warmup_factor(step - 1)
    return Done(length, now.now + (ending if ends is None else ends), rate, len(length.planned))


def half_a_core(now: float, length: RunLength, step: int) -> float:
    """Every other five seconds, another process has half of the machine."""
    return 0.2 if now % 10 < 5 else 0.1


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(lambda now, length, step: 0.1, id="as measured"),
        pytest.param(lambda now, length, step: 0.04, id="faster than measured"),
        pytest.param(lambda now, length, step: 0.4, id="slower than measured"),
        pytest.param(lambda now, length, step: 0.1 if now < 60 else 0.25, id="slower from the middle on"),
        pytest.param(lambda now, length, step: 0.25 if now < 60 else 0.1, id="faster from the middle on"),
        pytest.param(half_a_core, id="beside another process"),
        pytest.param(lambda now, length, step: 1.0, id="few steps"),
    ],
)
@pytest.mark.parametrize("minutes", [2.0, 5.0])
def test_a_run_ends_in_time_with_its_schedule(
    minutes: float, seconds: Callable[[float, RunLength, int], float]
) -> None:
    done = simulated(replace(RECIPE, minutes=minutes), seconds)
    assert 0.93 * 60 * minutes <= done.seconds <= 60 * minutes
    assert done.last_rate < 0.05
    assert done.length.warmup_factor(done.length.total - 1) == 1
    assert done.plans < 80


def test_a_machine_that_became_slower_evaluates_and_ends_more_slowly_too() -> None:
    recipe = replace(RECIPE, evaluate_every=1000)
    done = simulated(
        recipe, lambda now, length, step: 0.1 if now < 60 else 0.2, evaluation=4, ending=4, evaluates=8, ends=8
    )
    assert len(done.length.evaluated_after) == 1
    assert 0.93 * 120 <= done.seconds <= 120


def test_a_plan_that_holds_is_kept() -> None:
    assert simulated(RECIPE, lambda now, length, step: 0.1).plans == 1


def test_small_inputs_are_planned_as_the_faster_ones_that_they_are() -> None:
    def seconds(now: float, length: RunLength, step: int) -> float:
        return 0.1 * ((length.input_size(step) or 8) / 8) ** 2

    done = simulated(GROWING, seconds)
    assert 0.95 * 120 <= done.seconds <= 120
    assert done.length.total > simulated(RECIPE, lambda now, length, step: 0.1).length.total
    assert done.plans < 10


def test_steps_in_which_the_head_alone_learns_are_planned_as_the_faster_ones_that_they_are() -> None:
    head_first = replace(RECIPE, fine_tuning=FineTuning(unfreeze=(0.4,)))
    done = simulated(head_first, lambda now, length, step: 0.04 if length.share(step) < 0.4 else 0.1)
    assert 0.97 * 120 <= done.seconds <= 120
    whole = simulated(RECIPE, lambda now, length, step: 0.1)
    assert done.length.total == pytest.approx(whole.length.total / (0.4 * 0.4 + 0.6), rel=0.06)


def test_what_is_done_before_the_first_step_is_left_out_of_the_first_plan() -> None:
    state = BudgetState(used=0.0, step=0.1, evaluation=0.5, ending=1.0, preparation=30.0)
    budget = TimeBudget(2.0, state, started=0.0, clock=Clock(5.0))
    without = TimeBudget(2.0, replace(state, preparation=0.0), started=0.0, clock=Clock(5.0))
    fewer = without.first(RECIPE, SAMPLES).total - budget.first(RECIPE, SAMPLES).total
    assert fewer == pytest.approx(30 / 0.1, rel=0.1)
    assert budget.state() == replace(state, used=5.0, preparation=0.0)


def test_evaluations_that_take_long_are_done_less_often_and_what_they_take_is_measured() -> None:
    done = simulated(RECIPE, lambda now, length, step: 0.1, evaluation=3.0)
    assert done.length.planned[0].evaluate_every == 27  # of 2.2 s each: 3 s are a twentieth of 60
    assert 0.9 * 120 <= done.seconds <= 120
    assert simulated(RECIPE, lambda now, length, step: 0.1, evaluation=0.2, evaluates=0.6).seconds <= 120


def test_the_recipe_s_own_length_is_the_most() -> None:
    done = simulated(replace(RECIPE, steps=100), lambda now, length, step: 0.1)
    assert (done.length.total, done.plans) == (100, 1)
    assert done.seconds < 30


def test_too_little_time_is_refused_with_the_minutes_that_would_do() -> None:
    state = BudgetState(used=0.0, step=0.5, evaluation=2.0, ending=1.0)

    def first(minutes: float) -> PlannedLength:
        return TimeBudget(minutes, state, started=0.0, clock=Clock(7.0)).first(RECIPE, SAMPLES)

    with pytest.raises(UsageError, match=r"0\.2 minutes are too short for a useful run.*7\.0 s are used") as refused:
        first(0.2)
    found = re.search(r"--minutes ([\d.]+) or more", str(refused.value))
    assert found is not None
    assert 23 <= first(float(found[1])).total < 30  # an epoch has 23
    assert float(found[1]) == pytest.approx((7 + 23 * 0.5 + 2 + 1) / 60, rel=0.25)


def test_what_earlier_starts_used_counts() -> None:
    state = BudgetState(used=60.0, step=0.1, evaluation=0.0, ending=0.0)
    budget = TimeBudget(2.0, state, started=100.0, clock=Clock(110.0))
    assert budget.used == 70
    assert budget.state().used == 70


def test_a_new_plan_waits_for_the_batches_that_are_decoded_ahead() -> None:
    def length(recipe: Recipe) -> RunLength:
        return RunLength(recipe, SAMPLES, planned=[PlannedLength(step=0, total=100, evaluate_every=1)])

    assert admitted(length(RECIPE), 20, 80) == (20, 80)
    assert admitted(length(GROWING), 20, 80) == (20 + PREFETCH_LEAD, 80)
    assert admitted(length(GROWING), 20, 21) == (20 + PREFETCH_LEAD, 21 + PREFETCH_LEAD)
    assert admitted(length(RECIPE), 20, 0) is None
    assert admitted(length(RECIPE), 20, 100) is None
    # Near the end no more batches are made, so that a run is made shorter alone.
    late = 100 - PREFETCH_LEAD
    assert admitted(length(RECIPE), late - 1, 110) == (late - 1, 110)
    assert admitted(length(RECIPE), late, 110) is None
    assert admitted(length(RECIPE), late, 98) == (late, 98)
    assert admitted(length(GROWING), late, 98) is None


def test_a_command_in_a_process_of_its_own_counts_from_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    assert time.process_time() <= clock.process_age()
    assert clock.command_start() == pytest.approx(time.monotonic(), abs=1)
    monkeypatch.setattr(clock, "_of_process", None)
    monkeypatch.setattr(clock, "process_age", lambda: 1000.0)
    clock.count_from_process_start()
    assert clock.command_start() == pytest.approx(time.monotonic() - 1000, abs=1)
