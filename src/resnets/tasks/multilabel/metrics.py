"""The records and metrics of multi-label classification: average precision and F1, and the choice of thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from resnets.core.devices import float64_device
from resnets.tasks.base import SampleRecords
from resnets.tasks.multilabel.settings import THRESHOLD

Labels = NDArray[np.bool_]
Scores = NDArray[np.float64]


def probabilities(logits: Tensor) -> Tensor:
    """(N, classes) float64: in float32, all logits above 17 would be the same probability, 1."""
    return torch.sigmoid(logits.to(float64_device(logits.device)).double())


def evaluate_batch(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The records of each sample of a batch.

    Args:
        logits: (N, classes).
        labels: (N, K) of 0 and 1, with K up to classes: data may lack the last of the model's classes.

    Returns:
        "labels" (N, classes) uint8, "probability" (N, classes) float64 and "loss" (N,) float32 (binary cross-entropy in
        nats, the mean over the classes).
    """
    labels = F.pad(labels, (0, logits.shape[1] - labels.shape[1]))
    loss = F.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none").mean(1)
    return {"labels": labels.to(torch.uint8), "probability": probabilities(logits), "loss": loss}


def metrics(
    records: SampleRecords, classes: tuple[str, ...], thresholds: Sequence[float] | None = None
) -> dict[str, Any]:
    """The figures over all samples, ready for JSON.

    A probability that is NaN counts as the wrong answer.

    Args:
        records: of `evaluate_batch`.
        thresholds: for each class, the lowest probability at which it is predicted; None is 0.5 each.

    Returns:
        "map" (the mean of the average precision over classes with positive samples; None where no class has one),
        "micro_f1", "macro_f1" (the mean over classes that have positive samples or are predicted), "loss" (mean, in
        nats), "samples", and "classes": by name "ap" (None without positive samples), "precision", "recall", "f1",
        "support" (positive samples) and "threshold". All but loss and counts are fractions of 1.
    """
    positive = records["labels"].astype(bool)
    score = _without_nan(records["probability"], positive)
    samples = len(positive)
    used = np.array([THRESHOLD] * len(classes) if thresholds is None else thresholds, np.float64)
    predicted = score >= used
    hits, support, answers = (each.sum(0) for each in (positive & predicted, positive, predicted))
    f1 = 2 * hits / np.maximum(support + answers, 1)
    known = support + answers > 0
    ap = [average_precision(positive[:, k], score[:, k]) for k in range(len(classes))]
    found = [each for each in ap if each is not None]
    return {
        "map": float(np.mean(found)) if found else None,
        "micro_f1": float(2 * hits.sum() / max(support.sum() + answers.sum(), 1)),
        "macro_f1": float(f1[known].mean()) if known.any() else 0.0,
        "loss": float(records["loss"].astype(np.float64).sum()) / max(samples, 1),
        "samples": samples,
        "classes": {
            name: {
                "ap": ap[k],
                "precision": float(hits[k] / max(answers[k], 1)),
                "recall": float(hits[k] / max(support[k], 1)),
                "f1": float(f1[k]),
                "support": int(support[k]),
                "threshold": float(used[k]),
            }
            for k, name in enumerate(classes)
        },
    }


def best_thresholds(records: SampleRecords) -> tuple[float, ...]:
    """The `best_threshold` of each class."""
    positive = records["labels"].astype(bool)
    score = _without_nan(records["probability"], positive)
    return tuple(best_threshold(positive[:, k], score[:, k]) for k in range(positive.shape[1]))


def average_precision(positive: Labels, score: Scores) -> float | None:
    """The average precision as scikit-learn defines it: the sum over thresholds of precision times the rise of recall.

    Samples of equal score are one threshold. None where no sample is positive.

    Args:
        positive: (N,) whether the sample is of the class.
        score: (N,) any number that rises with the probability of the class.
    """
    if not positive.any():
        return None
    _, hits, answers = _cuts(positive, score)
    return float((np.diff(hits, prepend=0) * hits / answers).sum() / hits[-1])


def best_threshold(positive: Labels, score: Scores) -> float:
    """The threshold with the highest F1: midway between the lowest score that it takes in and the next below.

    Of several with the same F1, the highest. `THRESHOLD` where no sample is positive, or all have one score.

    Args:
        positive: (N,) whether the sample is of the class.
        score: (N,) probabilities.
    """
    values, hits, answers = _cuts(positive, score)
    if not positive.any() or len(values) == 1:
        return THRESHOLD
    best = int(np.argmax(2 * hits / (answers + hits[-1])))
    lowest = float(np.clip(values[best], 0, 1))
    below = float(np.clip(values[best + 1], 0, 1)) if best + 1 < len(values) else 0.0
    middle = (lowest + below) / 2
    return middle if middle > below else lowest  # equal where no float64 lies between the two


def _cuts(positive: Labels, score: Scores) -> tuple[Scores, Scores, Scores]:
    """The distinct scores, falling, and for each the positives and the samples that score as much or more."""
    order = np.argsort(-score, kind="stable")
    falling = score[order]
    last = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(falling) - 1)  # of equal scores
    return falling[last], np.cumsum(positive[order])[last].astype(np.float64), last + 1.0


def _without_nan(score: Scores, positive: Labels) -> Scores:
    return np.where(np.isnan(score), np.where(positive, -np.inf, np.inf), score)
