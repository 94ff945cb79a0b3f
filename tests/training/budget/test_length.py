"""What a schedule does when the length of its run is planned anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resnets.core.errors import UsageError
from resnets.modalities.image.transforms import Augmentations, ProgressiveResize, RandomResizedCrop
from resnets.recipes.catalog import find
from resnets.training.length import WARMUP_SHARE, PlannedLength, RunLength
from resnets.training.recipe import Recipe
from resnets.training.schedules import Warmup

SAMPLES = 640  # ten steps of 64 an epoch
RECIPE = find("digits").with_length(minutes=5.0)


def planned(*lengths: tuple[int, int], recipe: Recipe = RECIPE, every: float = 1.0) -> RunLength:
    return RunLength(
        recipe,
        SAMPLES,
        planned=[PlannedLength(step=step, total=total, evaluate_every=every) for step, total in lengths],
    )


def test_a_length_that_never_changes_gives_the_share_of_the_steps() -> None:
    length, fixed = planned((0, 77)), RunLength(find("digits").with_length(steps=77), SAMPLES)
    shares = [step / 77 for step in range(77)]
    assert [length.share(step) for step in range(77)] == shares == [fixed.share(step) for step in range(77)]
    assert (length.total, fixed.total) == (77, 77)


def test_the_schedule_goes_on_where_it_is_and_reaches_its_end() -> None:
    length = planned((0, 100), (30, 60), (40, 200))
    # Straight lines between these points (numpy's interpolation).
    corner = 0.3 + 0.7 * 10 / 30
    expected = np.interp(np.arange(201), [0, 30, 40, 200], [0, 0.3, corner, 1])
    np.testing.assert_allclose([length.share(step) for step in range(201)], expected, rtol=1e-12)


def test_a_change_moves_no_share_before_it_nor_the_one_it_begins_with() -> None:
    length = planned((0, 100))
    before = [length.share(step) for step in range(51)]
    length.change(50, 70)
    assert [length.share(step) for step in range(51)] == before
    assert (length.first_total, length.total) == (100, 70)
    assert length.planned == planned((0, 100), (50, 70)).planned


@pytest.mark.parametrize(("epochs", "share"), [(1.0, 0.1), (50.0, WARMUP_SHARE)])
@pytest.mark.parametrize("total", [30, 100, 400])
def test_the_warm_up_ends_in_its_share_of_the_run_however_the_plan_changes(
    epochs: float, share: float, total: int
) -> None:
    length = planned((0, 100), (5, total), recipe=replace(RECIPE, warmup=Warmup(epochs=epochs)))
    factors = [length.warmup_factor(step) for step in range(total)]
    assert factors[0] == pytest.approx(0.01 / share)  # the first of 100 steps
    assert factors == sorted(factors)
    assert [factor == 1 for factor in factors] == pytest.approx(
        [length.share(step + 1) >= share - 1e-12 for step in range(total)]
    )
    constant = planned((0, 100), recipe=replace(RECIPE, warmup=Warmup(epochs=1, factor=0.1, shape="constant")))
    assert [constant.warmup_factor(step) for step in (0, 9, 10, 99)] == [0.1, 0.1, 1, 1]


def test_sizes_grow_with_the_schedule() -> None:
    grows = ProgressiveResize(start=4, stop=8, since=0.5, until=0.5, multiple=1)
    recipe = replace(RECIPE, augmentations=Augmentations(crop=RandomResizedCrop(), progressive_resize=grows))
    assert [planned((0, 100), recipe=recipe).input_size(step) for step in (50, 51, 200)] == [4, 8, 8]
    assert [planned((0, 100), (20, 40), recipe=recipe).input_size(step) for step in (27, 28)] == [4, 8]


def test_evaluations_are_in_the_end_and_not_shortly_before_it() -> None:
    assert planned((0, 54)).evaluated_after == {10, 20, 30, 40, 54}
    assert planned((0, 55)).evaluated_after == {10, 20, 30, 40, 50, 55}
    assert planned((0, 55), (12, 31), every=2).evaluated_after == {20, 31}
    assert planned((0, 4)).evaluated_after == {4}


@pytest.mark.parametrize("lengths", [[(5, 10)], [(0, 10), (10, 20)], [(0, 10), (6, 20), (5, 20)]])
def test_plans_that_do_not_follow_one_another_are_refused(lengths: list[tuple[int, int]]) -> None:
    with pytest.raises(UsageError, match="cannot be planned anew"):
        planned(*lengths)


def test_a_plan_needs_steps_and_a_budget_a_plan() -> None:
    for step, total in ((0, 0), (3, 3), (-1, 5)):
        with pytest.raises(UsageError, match="cannot be planned"):
            PlannedLength(step=step, total=total, evaluate_every=1)
    with pytest.raises(UsageError, match="not known before the run has measured them"):
        RunLength(RECIPE, SAMPLES)


def test_a_budget_is_a_length() -> None:
    assert (RECIPE.epochs, RECIPE.steps, RECIPE.minutes) == (None, None, 5)
    assert find("digits").with_overrides(["minutes=5"]) == RECIPE
    both = find("digits").with_overrides(["minutes=5", "epochs=3"])
    assert (both.epochs, both.minutes) == (3, 5)
    assert find("digits").with_overrides(["minutes=none"]) == find("digits")
    for wrong in ("0", "-1", "1e9", "nan", "inf"):
        with pytest.raises(UsageError, match="minutes"):
            find("digits").with_overrides([f"minutes={wrong}"])
