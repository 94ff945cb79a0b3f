"""The interval of an accuracy: Wilson's, or where samples come in groups, the one that says so.

Samples of one group, such as the images of one patient, are alike: they are right or wrong together, and a thousand of
ten patients say less than a thousand of a thousand. Wilson's interval for independent samples would be too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.tasks.classification.wilson import Z, wilson_interval


def accuracy_interval(right: NDArray[np.bool_], groups: NDArray[np.int64] | None = None) -> tuple[float, float]:
    """The 95% interval of the accuracy of N samples, for new samples, or for samples of new groups.

    With groups, Wilson's interval has in place of N the effective number of samples,

        p (1 - p) / v * (z / t)^2,    v = G / (G - 1) * sum_g (h_g - p n_g)^2 / N^2

    for the accuracy p, G groups with n_g samples of which h_g are right, and the quantiles z of the normal and t of
    Student's distribution with G - 1 degrees of freedom: v is the variance of the ratio of two sums over clusters
    (Cochran 1977, Sampling Techniques, chapter 9A), the rest is of Korn and Graubard 1998, for Wilson's interval as in
    Franco et al. 2019 (J. Surv. Stat. Methodol. 7, pages 334 to 364). It is at least 1 and at most N, and the number of
    groups where v says nothing: all are right or all wrong, or there is one group.

    Args:
        right: (N,)
        groups: (N,) the number of each sample's group; None where each sample is one.
    """
    samples = len(right)
    if groups is None or not samples:
        return wilson_interval(int(right.sum()), samples)
    share = float(right.mean())
    return wilson_interval(share * (effective := _effective_samples(right, groups)), effective)


def _effective_samples(right: NDArray[np.bool_], groups: NDArray[np.int64]) -> float:
    from scipy.special import stdtrit

    _, numbers = np.unique(groups, return_inverse=True)
    sizes, hits = np.bincount(numbers), np.bincount(numbers, right)
    samples, count, share = len(right), len(sizes), float(right.mean())
    spread = float(((hits - share * sizes) ** 2).sum())
    if count == 1 or share in (0.0, 1.0):
        return count
    if not spread:  # each group has the same accuracy
        return samples
    variance = count / (count - 1) * spread / samples**2
    student = float(stdtrit(count - 1, 0.975))
    return min(max(share * (1 - share) / variance * (Z / student) ** 2, 1.0), samples)


def clustered(records: Mapping[str, NDArray[Any]], groups: NDArray[np.int64] | None) -> dict[str, Any]:
    """What `interval_of` and the texts of a report read besides the metrics, where there are groups: "interval" of the
    accuracy, and "groups", their number. Empty where each sample is a group of its own.

    Args:
        records: of `Classification.evaluate_batch`, (N,) each.
        groups: as of `accuracy_interval`.
    """
    count = 0 if groups is None else len(np.unique(groups))
    if count == len(records["label"]) or not count:
        return {}
    right = records["label"] == records["predicted"]
    return {"interval": accuracy_interval(right, groups), "groups": count}


def interval_of(metrics: Mapping[str, Any]) -> tuple[float, float]:
    """The 95% interval of the accuracy in `metrics`, by their groups where `clustered` has added them."""
    if "interval" in metrics:
        low, high = metrics["interval"]
        return low, high
    return wilson_interval(round(metrics["accuracy"] * metrics["samples"]), metrics["samples"])
