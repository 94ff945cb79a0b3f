"""What is said of a model that withholds all of its answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from resnets.tasks.base import SampleRecords
from resnets.tasks.classification.confidence import selective_accuracy
from resnets.tasks.classification.settings import Classify


def remarks(records: SampleRecords, metrics: Mapping[str, Any], settings: Classify, split: str) -> tuple[str, ...]:
    """Why a model with a threshold answers nothing, and what to do; empty where it answers.

    Args:
        settings: with the threshold, or the accuracy by which it was chosen on `val`.
        split: of `records`.
    """
    below, wanted = metrics.get("unknown_below"), settings.answered_accuracy
    if below is None or metrics["coverage"]:
        return ()
    if wanted is None:
        return (f"No sample of {split} has a probability of {below:.2%}: the model answers none (--unknown-below).",)
    if split != "val" or not metrics["samples"]:
        return (f"The model answers no sample of {split}: no threshold had {wanted:.2%} of the answers right on val.",)
    _, _, accuracies = selective_accuracy(records["label"] == records["predicted"], records["confidence"])
    best = float(accuracies.max())
    advice = f": ask for less, such as --accuracy {math.floor(1000 * best) / 1000:g}" if best > 0.001 else ""
    return (
        f"No threshold has {wanted:.2%} of the answers right on val, {best:.2%} at most. So the model answers nothing "
        f"(unknown_below is {below:g}){advice}.",
    )
