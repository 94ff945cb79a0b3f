"""The interval of a proportion."""

from __future__ import annotations

import math

Z = 1.959964  # the 97.5% quantile of the normal distribution


def wilson_interval(hits: float, samples: float) -> tuple[float, float]:
    """The 95% confidence interval of a proportion (Wilson 1927)."""
    n = max(samples, 1)
    share = hits / n
    center = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(max(share * (1 - share), 0.0) / n + Z * Z / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)
