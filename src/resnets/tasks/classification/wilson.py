"""The interval of a proportion."""

from __future__ import annotations

import math


def wilson_interval(hits: int, samples: int) -> tuple[float, float]:
    """The 95% confidence interval of a proportion (Wilson 1927)."""
    z, n = 1.959964, max(samples, 1)
    share = hits / n
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)
