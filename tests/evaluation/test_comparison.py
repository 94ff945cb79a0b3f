"""Paired intervals and McNemar's test, against scipy's and a sum of binomial probabilities."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from resnets.evaluation.comparison import compare, mcnemar


def accuracy(records: dict[str, NDArray[np.bool_]]) -> float:
    return float(records["right"].mean())


def answers(samples: int = 400) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of two models, whose errors are of the same samples for the most part."""
    generator = np.random.default_rng(1)
    hard = generator.random(samples)
    return hard < 0.8, (hard < 0.84) ^ (generator.random(samples) < 0.02)


def test_intervals_are_scipys() -> None:
    both = answers()
    found = compare([{"right": each} for each in both], [accuracy, accuracy], draws=4000)
    for own, interval in zip(both, found.figures, strict=True):
        assert interval.value == own.mean()
        expected = scipy.stats.bootstrap((own,), np.mean, method="percentile", n_resamples=4000, rng=0)
        bounds = expected.confidence_interval
        assert (interval.low, interval.high) == pytest.approx((bounds.low, bounds.high), abs=0.004)
    (difference,) = found.differences
    expected = scipy.stats.bootstrap(
        (both[1], both[0]), lambda a, b, axis: a.mean(axis) - b.mean(axis), paired=True, method="percentile",
        n_resamples=4000, rng=0,
    )  # fmt: skip
    bounds = expected.confidence_interval
    assert difference.value == both[1].mean() - both[0].mean()
    assert (difference.low, difference.high) == pytest.approx((bounds.low, bounds.high), abs=0.004)
    apart = found.figures[0].high, found.figures[1].low
    assert apart[0] is not None and apart[1] is not None and difference.low is not None  # noqa: PT018
    assert apart[0] > apart[1]  # the intervals overlap,
    assert difference.low > 0  # and yet the second is surely better


def test_whole_groups_are_drawn() -> None:
    right = np.repeat([True, False, True, True], 50)
    groups = np.repeat(np.arange(4), 50)
    records = [{"right": right}, {"right": ~right}]
    alone, grouped = (compare(records, [accuracy, accuracy], own).figures[0] for own in (None, groups))
    assert (grouped.low, grouped.high) == pytest.approx((0.25, 1.0))
    assert alone.high - alone.low < 0.15  # type: ignore[operator]
    uneven = compare([{"right": np.array([True, False, False])}], [accuracy], np.array([0, 1, 1])).figures[0]
    assert (uneven.value, uneven.low, uneven.high) == pytest.approx((1 / 3, 0, 1))


def test_what_is_undefined_has_no_interval() -> None:
    found = compare([{"right": answers()[0]}] * 2, [lambda records: None, accuracy], draws=10)
    assert (found.figures[0].value, found.figures[0].low) == (None, None)
    assert (found.differences[0].value, found.differences[0].high) == (None, None)


def test_the_same_seed_gives_the_same_interval() -> None:
    records = [{"right": each} for each in answers()]
    one, two, other = (compare(records, [accuracy] * 2, draws=50, seed=seed) for seed in (3, 3, 4))
    assert one == two != other


def test_mcnemars_test_is_exact() -> None:
    first, second = answers()
    found = mcnemar(first, second)
    b, c = int((first & ~second).sum()), int((~first & second).sum())
    assert (found["first_alone"], found["second_alone"]) == (b, c)
    n = b + c
    tail = sum(comb(n, k) for k in range(min(b, c) + 1)) / 2**n
    assert found["p"] == pytest.approx(min(1, 2 * tail), rel=1e-9)
    assert mcnemar(first, first) == {"first_alone": 0, "second_alone": 0, "p": 1.0}
