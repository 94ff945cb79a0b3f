"""The metrics of a classifier: what is recorded of each sample, and the exact figures over all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.tasks.base import SampleRecords

ConfusionMatrix = np.ndarray[tuple[int, int], np.dtype[np.int64]]


def evaluate_batch(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The records of each sample of a batch, (N,) each.

    Classes of equal logits are ranked by number, the lowest first. A NaN ranks before every number, so that a sample
    with a NaN logit never counts as correct.

    Args:
        logits: (N, classes).
        labels: (N,) int64.

    Returns:
        "label", "predicted" (a class), "confidence" (the probability of the predicted class), "rank" of the label (0
        is the best) and "loss" (cross-entropy in nats).
    """
    logits = logits.float()
    classes = logits.shape[1]
    own = logits.gather(1, labels[:, None])
    below = (logits < own) | ((logits == own) & (torch.arange(classes).to(labels) > labels[:, None]))
    rank = classes - 1 - below.sum(1)
    predicted = logits.argmax(1)
    # The argmax of logits with a NaN may happen to be the label: any other class stands for it then.
    predicted = torch.where((predicted == labels) & (rank > 0), (labels + 1) % classes, predicted)
    return {
        "label": labels,
        "predicted": predicted,
        "confidence": F.softmax(logits, 1).gather(1, predicted[:, None])[:, 0],
        "rank": rank,
        "loss": F.cross_entropy(logits, labels, reduction="none"),
    }


def metrics(records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Any]:
    """The figures over all samples, ready for JSON.

    Returns:
        "accuracy" and "top5" (fractions of 1), "loss" (mean, in nats), "samples" (how many), and "classes": by name
        "precision", "recall", "f1" and "support". As in scikit-learn, the precision of a class that is never
        predicted is 0, and so is the recall of a class without samples.
    """
    samples = len(records["label"])
    matrix = confusion_matrix(records, len(classes))
    hits, predicted, support = np.diag(matrix), matrix.sum(0), matrix.sum(1)
    precision, recall = (hits / np.maximum(n, 1) for n in (predicted, support))
    f1 = 2 * hits / np.maximum(predicted + support, 1)
    return {
        "accuracy": int((records["rank"] == 0).sum()) / max(samples, 1),
        "top5": int((records["rank"] < 5).sum()) / max(samples, 1),
        "loss": float(records["loss"].astype(np.float64).sum()) / max(samples, 1),
        "samples": samples,
        "classes": {
            name: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for i, name in enumerate(classes)
        },
    }


def confusion_matrix(records: SampleRecords, classes: int) -> ConfusionMatrix:
    """(classes, classes) counts: a row for each true class, a column for each predicted one."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (records["label"], records["predicted"]), 1)
    return matrix
