"""Recordings that training reads, but perhaps not as meant: silent ones, and those of an odd length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from resnets.checks.inventory import Inventory
from resnets.checks.problem import Problem
from resnets.checks.scan import Contents

LONGER = 10  # times the median's length, or its part, that is odd
FEWEST = 5  # recordings, of which a median says something


def recordings(inventory: Inventory, contents: Contents) -> Iterator[Problem]:
    """Silent recordings, and those of an odd length."""
    for number in np.flatnonzero(contents.has("constant")).tolist():
        path = inventory.path(number)
        yield Problem("constant", path, f"{path} is silent: all of its samples are 0.")
    frames, rate = (contents.records[name].astype(np.float64) for name in ("width", "height"))
    known = np.flatnonzero((frames > 0) & (rate > 0))
    if len(known) < FEWEST:
        return
    seconds = frames[known] / rate[known]
    usual = float(np.median(seconds))
    for number, length in zip(known.tolist(), seconds.tolist(), strict=True):
        if max(length / usual, usual / length) > LONGER:
            path = inventory.path(number)
            yield Problem("odd_size", path, f"{path} has {length:.3g} s: most have about {usual:.3g} s.")
