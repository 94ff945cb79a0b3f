"""What confidence is worth: accuracy by confidence, and the accuracy of the answers that are given where the least sure
ones are withheld.

References: Guo et al. 2017 (1706.04599) for reliability, Geifman and El-Yaniv 2017 (1705.08500) for selective
classification.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CALIBRATION_BINS = 15  # Guo et al. 2017, section 5
Floats = NDArray[np.float64]


def expected_calibration_error(right: NDArray[np.bool_], confidence: NDArray[Any]) -> float | None:
    """The expected calibration error (Guo et al. 2017, 1706.04599, equation 3), a fraction of 1.

    It is the mean distance between confidence and accuracy over bins of equal width, weighted by their samples. None
    if a confidence is not finite, or there are no samples.

    Args:
        right: (N,) whether the predicted class is the true one.
        confidence: (N,) probability of the predicted class.
    """
    confidence = confidence.astype(np.float64)
    if not len(confidence) or not np.isfinite(confidence).all():
        return None
    gaps = np.bincount(_bins(confidence), right - confidence, CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def reliability(right: NDArray[np.bool_], confidence: NDArray[Any]) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """The reliability diagram: of each bin with samples, (bins,) mean confidence, accuracy, and number of samples.

    Args:
        right, confidence: as of `expected_calibration_error`; the confidences finite.
    """
    confidence = confidence.astype(np.float64)
    bins = _bins(confidence)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    found = counts > 0
    confidences, hits = (np.bincount(bins, each, CALIBRATION_BINS)[found] for each in (confidence, right))
    return confidences / counts[found], hits / counts[found], counts[found]


def selective_accuracy(right: NDArray[np.bool_], confidence: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Accuracy against coverage, where the answers below a threshold are withheld.

    Args:
        right, confidence: as of `expected_calibration_error`; the confidences finite.

    Returns:
        (M,) each, for the M different confidences as thresholds, the highest first: the threshold, the share of samples
        that are answered (coverage, in (0, 1]), and the accuracy of those.
    """
    thresholds, group = np.unique(-confidence.astype(np.float64), return_inverse=True)
    answered = np.bincount(group, minlength=len(thresholds)).cumsum()
    hits = np.bincount(group, right, len(thresholds)).cumsum()
    return -thresholds, answered / max(len(confidence), 1), hits / np.maximum(answered, 1)


def area_under_risk_coverage(right: NDArray[np.bool_], confidence: NDArray[Any]) -> float | None:
    """The area under the risk-coverage curve (AURC), a fraction of 1: the mean error of the k surest answers over k
    from 1 to N.

    Samples of equal confidence count as their mean, so that their order does not matter. None if a confidence is not
    finite, or there are no samples.
    """
    confidence = confidence.astype(np.float64)
    if not len(confidence) or not np.isfinite(confidence).all():
        return None
    _, group, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    wrong = (np.bincount(group, ~right, len(counts)) / counts)[np.sort(group)]
    return float((wrong.cumsum() / np.arange(1, len(wrong) + 1)).mean())


def threshold_for(right: NDArray[np.bool_], confidence: NDArray[Any], accuracy: float) -> float | None:
    """The lowest threshold at which the answers that are given have at least `accuracy`; None where there is none.

    Args:
        right, confidence: as of `expected_calibration_error`; the confidences finite.
        accuracy: wanted, in [0, 1].
    """
    thresholds, _, accuracies = selective_accuracy(right, confidence)
    enough = np.flatnonzero(accuracies >= accuracy)
    return float(thresholds[enough[-1]]) if len(enough) else None


def _bins(confidence: Floats) -> NDArray[np.int64]:
    """(N,) the bin of each confidence, from 0: bins are open below and closed above."""
    return np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
