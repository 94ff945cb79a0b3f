"""How much better one model is than another on the same samples, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.tasks.base import SampleRecords

DRAWS = 2000
_INTERVAL = (0.025, 0.975)  # of 95%

Figure = Callable[[SampleRecords], float | None]  # a metric of some samples


@dataclass(frozen=True)
class Interval:
    """A figure with the bounds of its 95% interval; None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Comparison:
    """Models on the same samples.

    Args:
        figures: of each model.
        differences: of each model but the first, its figure less the first one's.
    """

    figures: tuple[Interval, ...]
    differences: tuple[Interval, ...]


def compare(
    records: Sequence[SampleRecords],
    figures: Sequence[Figure],
    groups: NDArray[np.int64] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    done: Callable[[int], None] = lambda draw: None,
) -> Comparison:
    """The percentile bootstrap over samples, which are the same in each draw for all models, so that what makes a
    sample hard for all of them cancels out of the differences (Efron and Tibshirani 1993, chapters 13 and 16).

    Args:
        records: of each model, (N, ...) each, of the same samples in the same order.
        figures: the metric, from the records of each model.
        groups: (N,) the number of each sample's group, such as a patient: whole groups are drawn; None where each
            sample is one.
        draws: bootstrap samples.
        done: called with the number of draws that are done.
    """
    samples = len(next(iter(records[0].values())))
    generator = np.random.default_rng(seed)
    members = None if groups is None else [np.flatnonzero(groups == each) for each in np.unique(groups)]
    values = np.full((draws, len(records)), np.nan)
    for draw in range(draws):
        if members is None:
            chosen = generator.integers(samples, size=samples)
        else:
            chosen = np.concatenate([members[i] for i in generator.integers(len(members), size=len(members))])
        for number, (own, figure) in enumerate(zip(records, figures, strict=True)):
            found = figure({name: each[chosen] for name, each in own.items()})
            values[draw, number] = np.nan if found is None else found
        done(draw + 1)
    plain = [figure(own) for own, figure in zip(records, figures, strict=True)]
    first = plain[0]
    differences = [None if each is None or first is None else each - first for each in plain[1:]]
    return Comparison(
        tuple(_interval(value, values[:, number]) for number, value in enumerate(plain)),
        tuple(_interval(value, values[:, number] - values[:, 0]) for number, value in enumerate(differences, start=1)),
    )


def _interval(value: float | None, drawn: NDArray[np.float64]) -> Interval:
    known = drawn[~np.isnan(drawn)]
    if value is None or not len(known):
        return Interval(value, None, None)
    low, high = np.quantile(known, _INTERVAL)
    return Interval(value, float(low), float(high))


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> dict[str, Any]:
    """McNemar's exact test of whether two classifiers err equally often, by the samples that one alone has right
    (McNemar 1947; exact as in Dietterich 1998, section 3.1, without the approximation).

    Args:
        first, second: (N,) whether each has a sample right.

    Returns:
        "first_alone" and "second_alone", how many samples one alone has right, and "p", the two-sided probability of
        such a division or a more uneven one where both are equally good.
    """
    from scipy.stats import binomtest

    alone = int((first & ~second).sum()), int((second & ~first).sum())
    p = float(binomtest(alone[0], sum(alone)).pvalue) if sum(alone) else 1.0
    return {"first_alone": alone[0], "second_alone": alone[1], "p": p}
