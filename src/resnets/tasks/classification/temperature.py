"""Temperature scaling: one number by which logits are divided, so that confidence is what it says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST, MOST = 1e-2, 1e2  # temperatures
_ROWS = 4096  # of logits that are in float64 at a time
_STEPS = 100
_TOLERANCE = 1e-9  # of the temperature, relative


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float | None:
    """The temperature at which the mean cross-entropy of the softmax of logits / temperature is least (Guo et al. 2017,
    1706.04599, section 4.2), from `LEAST` to `MOST`.

    None where that is no minimum, since every sample is right and the logits of its class are above all others: the
    lower the temperature, the lower the loss. None too if a logit is not finite, or there are no samples.

    Args:
        logits: (N, classes).
        labels: (N,).
    """
    if not len(labels) or not np.isfinite(logits).all():
        return None
    low, high = 1 / MOST, 1 / LEAST
    if _slope(logits, labels, high)[0] <= 0:
        return None
    # The loss is convex in the inverse of the temperature: its slope has one root. Newton's steps, and where one leaves
    # the interval of the root, half of it.
    inverse = 1.0
    for _ in range(_STEPS):
        slope, curvature = _slope(logits, labels, inverse)
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / curvature if curvature > 0 else np.inf
        following = step if low < step < high else (low * high) ** 0.5
        if abs(following - inverse) <= _TOLERANCE * inverse:
            break
        inverse = following
    return float(1 / inverse)


def _slope(logits: NDArray[np.float32], labels: NDArray[np.int64], inverse: float) -> tuple[float, float]:
    """The first and the second derivative, by the inverse of the temperature, of the summed cross-entropy."""
    first = second = 0.0
    for start in range(0, len(labels), _ROWS):
        rows = logits[start : start + _ROWS].astype(np.float64)
        rows -= rows.max(1, keepdims=True)
        shares = np.exp(inverse * rows)
        shares /= shares.sum(1, keepdims=True)
        mean = (shares * rows).sum(1)
        first += float((mean - rows[np.arange(len(rows)), labels[start : start + _ROWS]]).sum())
        second += float(((shares * rows**2).sum(1) - mean**2).sum())
    return first, second
