"""The interval of an accuracy with groups: by a regression, by the bootstrap over groups, and by how often it holds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from resnets.evaluation.comparison import compare
from resnets.tasks.classification.interval import accuracy_interval, clustered, interval_of
from resnets.tasks.classification.metrics import metrics
from resnets.tasks.classification.verdict import verdict
from resnets.tasks.classification.wilson import wilson_interval


def answers(groups: int, mean: float, likeness: float, seed: int = 0) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Of groups of 5 to 39 samples, each with an accuracy of its own; the larger `likeness`, the more alike."""
    g = np.random.default_rng(seed)
    own, sizes = g.beta(likeness * mean, likeness * (1 - mean), groups), g.integers(5, 40, groups)
    return g.random(sizes.sum()) < np.repeat(own, sizes), np.repeat(np.arange(groups), sizes)


def independent(right: NDArray[np.bool_], groups: NDArray[np.int64]) -> tuple[float, float]:
    """The sandwich of a regression on a constant with clusters, and the roots of Wilson's equation."""
    x, y = np.ones((len(right), 1)), right.astype(float)
    bread = np.linalg.inv(x.T @ x)
    residual = y - x @ (bread @ x.T @ y)
    meat, names = np.zeros((1, 1)), sorted(set(groups.tolist()))
    for name in names:
        score = x[groups == name].T @ residual[groups == name]
        meat += np.outer(score, score)
    variance = float((bread @ meat @ bread)[0, 0]) * len(names) / (len(names) - 1)
    p, z, t = y.mean(), scipy.stats.norm.ppf(0.975), scipy.stats.t.ppf(0.975, len(names) - 1)
    n = min(p * (1 - p) / variance * (z / t) ** 2, len(y))
    low, high = np.roots([1 + z * z / n, -(2 * p + z * z / n), p * p])[::-1]
    return float(low), float(high)


@pytest.mark.parametrize(("groups", "mean", "likeness"), [(10, 0.8, 4), (25, 0.9, 5), (60, 0.5, 30), (300, 0.97, 8)])
def test_the_interval_is_that_of_the_cluster_robust_variance(groups: int, mean: float, likeness: float) -> None:
    right, of = answers(groups, mean, likeness)
    assert accuracy_interval(right, of) == pytest.approx(independent(right, of), abs=1e-6)
    shuffled = np.random.default_rng(1).permutation(len(of))
    named = 1000 - 3 * of  # neither the order of the samples nor the numbers of the groups matter
    assert accuracy_interval(right[shuffled], named[shuffled]) == pytest.approx(accuracy_interval(right, of))


def test_it_agrees_with_the_bootstrap_over_groups() -> None:
    right, of = answers(400, 0.8, 4)
    drawn = compare([{"right": right}], [lambda records: float(records["right"].mean())], of).figures[0]
    assert accuracy_interval(right, of) == pytest.approx((drawn.low, drawn.high), abs=0.004)


def test_it_holds_as_often_as_it_says_where_wilsons_does_not() -> None:
    found = [answers(30, 0.85, 5, seed) for seed in range(400)]
    grouped = [low <= 0.85 <= high for low, high in (accuracy_interval(*each) for each in found)]
    alone = [low <= 0.85 <= high for low, high in (accuracy_interval(right) for right, _ in found)]
    assert 0.91 < np.mean(grouped) < 0.985
    assert np.mean(alone) < 0.75


def test_groups_that_say_nothing_new_change_nothing_and_never_narrow_it() -> None:
    g = np.random.default_rng(0)
    right = g.random(2000) < 0.9
    wilson = wilson_interval(int(right.sum()), 2000)
    assert accuracy_interval(right) == wilson
    same = np.tile([True, True, True, False], 50)  # every group has the same accuracy
    assert accuracy_interval(same, np.repeat(np.arange(50), 4)) == wilson_interval(150, 200)
    low, high = accuracy_interval(right, g.integers(0, 100, 2000))
    assert low <= wilson[0] + 1e-9
    assert high >= wilson[1] - 1e-9


def test_a_few_groups_are_as_many_samples_at_most() -> None:
    groups = np.repeat(np.arange(12), 50)
    assert accuracy_interval(np.ones(600, bool), groups) == wilson_interval(12, 12)
    assert accuracy_interval(np.zeros(600, bool), groups) == wilson_interval(0, 12)
    one = accuracy_interval(np.arange(600) % 10 > 0, np.zeros(600, np.int64))
    assert one == pytest.approx(wilson_interval(0.9, 1))
    two = accuracy_interval(np.repeat([True, False], 300), np.repeat([0, 1], 300))
    assert two[0] < 0.11
    assert two[1] > 0.89
    assert accuracy_interval(np.zeros(0, bool), np.zeros(0, np.int64))[1] > 0.5


def test_a_report_says_by_how_many_groups_it_is() -> None:
    right, of = answers(12, 0.8, 4)
    label = np.arange(len(right)) % 3
    records = {
        "label": label, "predicted": np.where(right, label, (label + 1) % 3), "rank": (~right).astype(int),
        "confidence": np.full(len(right), 0.8), "loss": np.where(right, 0.2, 2.0),
    }  # fmt: skip
    plain = metrics(records, ("a", "b", "c"))
    assert interval_of(plain) == accuracy_interval(right)
    found = plain | clustered(records, of)
    assert interval_of(found) == accuracy_interval(right, of)
    assert found["groups"] == 12
    said = verdict(records, found, ("a", "b", "c"), ())
    assert said is not None
    low, high = interval_of(found)
    needed = math.ceil(12 * ((high - low) / 0.1) ** 2 / 5) * 5
    assert said.spans[0].text == "Samples of 12 groups are too few to tell."
    assert f"from {low:.0%} to {high:.0%}: test on {needed} groups or more." in said.spans[1].text
    assert clustered(records, None) == clustered(records, np.arange(len(right))) == {}
