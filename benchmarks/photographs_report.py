"""The results of `photographs.py` as text: means with their deviation, and paired differences with their interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

Line = dict[str, Any]
METRICS = ("accuracy", "head", "balanced_accuracy", "auc", "sensitivity_at_95_specificity", "over")
# Pairs of what is compared fold by fold or seed by seed.
PAIRS = (
    ("flowers fold finetune", "flowers fold probe", "accuracy"),
    ("transfer finetune", "transfer scratch", "accuracy"),
    ("imbalance weights", "imbalance none", "balanced_accuracy"),
    ("imbalance sampling", "imbalance none", "balanced_accuracy"),
)


def report(
    lines: dict[str, Line], metrics: Sequence[str] = METRICS, pairs: Sequence[tuple[str, str, str]] = PAIRS
) -> str:
    """The tables of all results."""
    groups: dict[str, dict[str, Line]] = {}
    for key, line in lines.items():
        name, _, case = key.rpartition(" ")
        groups.setdefault(name if case[:1].isdigit() else key, {})[case] = line
    text = []
    for name, cases in sorted(groups.items()):
        for metric in metrics:
            values = [case[metric] for case in cases.values() if metric in case]
            if values and (metric != "balanced_accuracy" or name.startswith("imbalance")):
                text.append(f"{name:34} {metric:30} {show(values)}")
        text += [f"{name:34} left out: {case['left_out']}" for case in cases.values() if "left_out" in case]
    for first, second, metric in pairs:
        both = sorted(groups.get(first, {}).keys() & groups.get(second, {}).keys())
        if both:
            differences = [groups[first][case][metric] - groups[second][case][metric] for case in both]
            text.append(f"{first} - {second}: {metric} {show(differences)}, 95% {show_interval(differences)}")
    return "\n".join(text)


def show(values: Sequence[float]) -> str:
    """The mean, the standard deviation and the number of values, as percent."""
    deviation = f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * statistics.fmean(values):.2f}{deviation}% (n={len(values)})"


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95% interval of the mean by Student's t; infinite for one value."""
    from scipy.stats import t

    if len(values) < 2:
        return -math.inf, math.inf
    half = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values) - half, statistics.fmean(values) + half


def show_interval(values: Sequence[float]) -> str:
    low, high = interval(values)
    return f"[{100 * low:.2f}, {100 * high:.2f}]"
