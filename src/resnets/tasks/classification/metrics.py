"""The metrics of a classifier: what is recorded of each sample, and the exact figures over all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from resnets.tasks.base import SampleRecords
from resnets.tasks.classification.confidence import expected_calibration_error
from resnets.tasks.classification.settings import Classify

_PLAIN = Classify()
ConfusionMatrix = np.ndarray[tuple[int, int], np.dtype[np.int64]]


def probabilities(logits: Tensor, temperature: float | None = None) -> Tensor:
    """(N, classes) float32: the softmax of logits / temperature, where there is one (Guo et al. 2017, equation 9)."""
    return F.softmax(logits.float() if temperature is None else logits.float() / temperature, 1)


def evaluate_batch(
    logits: Tensor, labels: Tensor, temperature: float | None = None, *, choose: bool = False
) -> dict[str, Tensor]:
    """The records of each sample of a batch, (N,) each.

    Classes of equal logits are ranked by number, the lowest first. A NaN ranks before every number, so that a sample
    with a NaN logit never counts as correct.

    Args:
        logits: (N, classes).
        labels: (N,) int64.
        temperature: by which logits are divided for the confidence.
        choose: whether the logits are wanted as well.

    Returns:
        "label", "predicted" (a class), "confidence" (the probability of the predicted class), "rank" of the label (0
        is the best), "loss" (cross-entropy of the logits as they are, in nats) and "uncalibrated_confidence", which is
        without the temperature; of two classes "margin", by which the logit of the second exceeds that of the first;
        with `choose` also "logits", (N, classes).
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
        **confidences(logits, predicted, temperature),
        "rank": rank,
        "loss": F.cross_entropy(logits, labels, reduction="none"),
        **({"margin": logits[:, 1] - logits[:, 0]} if classes == 2 else {}),
        **({"logits": logits} if choose else {}),
    }


def confidences(logits: Tensor, predicted: Tensor, temperature: float | None) -> dict[str, Tensor]:
    """The records of the probability of the predicted class; see `evaluate_batch`."""
    plain = probabilities(logits).gather(1, predicted[:, None])[:, 0]
    if temperature is None:
        return {"confidence": plain, "uncalibrated_confidence": plain}
    calibrated = probabilities(logits, temperature).gather(1, predicted[:, None])[:, 0]
    return {"confidence": calibrated, "uncalibrated_confidence": plain}


def metrics(records: SampleRecords, classes: tuple[str, ...], settings: Classify = _PLAIN) -> dict[str, Any]:
    """The figures over all samples, ready for JSON.

    Args:
        settings: with the temperature of the confidences and the threshold below which an answer is unknown.

    Returns:
        "accuracy", "top5", "balanced_accuracy", "macro_f1" and "ece" (fractions of 1), "loss" (mean, in nats),
        "samples" (how many), and "classes": by name "precision", "recall", "f1" and "support"; for two classes also
        "auc". With a temperature also "temperature" and "ece_uncalibrated", which is without it; with a threshold
        "unknown_below", "coverage" (the share of samples that are answered) and "answered_accuracy" (the accuracy of
        those; None where there are none). As in scikit-learn, the precision of a class that is never predicted is 0, so
        is the recall of a class without samples, "balanced_accuracy" is the mean recall of the classes that have
        samples, and "macro_f1" the mean of the classes that have samples or are predicted. See
        `expected_calibration_error` and `area_under_roc`.
    """
    samples, right = len(records["label"]), records["label"] == records["predicted"]
    plain = records.get("uncalibrated_confidence", records["confidence"])
    matrix = confusion_matrix(records, len(classes))
    hits, predicted, support = np.diag(matrix), matrix.sum(0), matrix.sum(1)
    precision, recall = (hits / np.maximum(n, 1) for n in (predicted, support))
    f1 = 2 * hits / np.maximum(predicted + support, 1)
    found = {
        "accuracy": int((records["rank"] == 0).sum()) / max(samples, 1),
        "top5": int((records["rank"] < 5).sum()) / max(samples, 1),
        "balanced_accuracy": _mean(recall[support > 0]),
        "macro_f1": _mean(f1[predicted + support > 0]),
        "ece": expected_calibration_error(right, records["confidence"]),
        **_of_temperature(right, plain, settings.temperature),
        **_of_threshold(right, records["confidence"], settings.unknown_below),
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
    if len(classes) == 2:
        # Not by probabilities, of which many are 0 or 1 in float32 where the network is sure.
        found["auc"] = area_under_roc(records["label"] == 1, records["margin"])
    return found


def _of_temperature(right: NDArray[np.bool_], plain: NDArray[Any], temperature: float | None) -> dict[str, Any]:
    if temperature is None:
        return {}
    return {"ece_uncalibrated": expected_calibration_error(right, plain), "temperature": temperature}


def _of_threshold(right: NDArray[np.bool_], confidence: NDArray[Any], unknown_below: float | None) -> dict[str, Any]:
    if unknown_below is None:
        return {}
    answered = confidence.astype(np.float64) >= unknown_below
    return {
        "unknown_below": unknown_below,
        "coverage": float(answered.mean()) if len(answered) else 0.0,
        "answered_accuracy": float(right[answered].mean()) if answered.any() else None,
    }


def confusion_matrix(records: SampleRecords, classes: int) -> ConfusionMatrix:
    """(classes, classes) counts: a row for each true class, a column for each predicted one."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (records["label"], records["predicted"]), 1)
    return matrix


def area_under_roc(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float | None:
    """The area under the ROC curve: the probability that a positive sample scores above a negative one.

    Equal scores count half. None if a score is not finite, or all samples are of one class.

    Args:
        positive: (N,) whether the sample is of the positive class.
        score: (N,) any number that rises with the probability of that class.
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives or not np.isfinite(score).all():
        return None
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # from 1; the mean rank of equal scores
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0
