"""Images that training reads, but perhaps not as meant: odd modes, transparency, orientation, one colour, odd sizes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from resnets.checks.inventory import Inventory
from resnets.checks.problem import Problem
from resnets.checks.scan import Contents

SMALLER = 4  # times: a shorter side of less than this part of the median's is odd
LARGER = 8  # times: likewise a shorter side of more
NARROWER = 4  # times: a ratio of the sides that differs from the median's by more is odd
FEWEST = 5  # samples, of which a median says something

_FACTS = {
    "inks": ("odd_mode", "is stored in inks or in other colours than RGB (CMYK, LAB), which are converted to RGB"),
    "palette": ("odd_mode", "has a palette, which is resolved to RGB"),
    "deep": ("odd_mode", "has 16 bits, of which the upper 8 are read"),
    "dark": ("odd_mode", "has 16 bits and uses 12 of them or less, so that it is read as nearly black"),
    "transparent": ("transparency", "has transparent pixels, whose transparency is dropped"),
    "turned": ("orientation", "is turned by its metadata (EXIF or XMP), as training does"),
    "animated": ("animation", "has several frames or pages, of which the first is taken"),
    "constant": ("constant", "is of one colour"),
}
FACT_KINDS = frozenset(kind for kind, _ in _FACTS.values())


def facts(inventory: Inventory, contents: Contents) -> Iterator[Problem]:
    """A problem for each fact of an image; "dark" in place of "deep"."""
    dark = contents.has("dark")
    for fact, (kind, text) in _FACTS.items():
        holds = contents.has(fact) & ~dark if fact == "deep" else contents.has(fact)
        for number in np.flatnonzero(holds):
            path = inventory.path(int(number))
            yield Problem(kind, path, f"{path} {text}.")


def sizes(inventory: Inventory, contents: Contents) -> Iterator[Problem]:
    """Images whose size or shape is far from the median of all."""
    width, height = (contents.records[name].astype(np.float64) for name in ("width", "height"))
    known = np.flatnonzero((width > 0) & (height > 0))
    if len(known) < FEWEST:
        return
    width, height = width[known], height[known]
    shorter, ratio = np.minimum(width, height), width / height
    usual, shape = float(np.median(shorter)), float(np.median(ratio))
    stretched = np.maximum(ratio / shape, shape / ratio)
    far = (shorter * SMALLER < usual) | (shorter > LARGER * usual)
    for i in np.flatnonzero(far | (stretched > NARROWER)).tolist():
        path, size = inventory.path(int(known[i])), f"{width[i]:.0f} x {height[i]:.0f} pixels"
        if far[i]:
            yield Problem("odd_size", path, f"{path} has {size}: most have a shorter side of about {usual:.0f}.")
        else:
            yield Problem("odd_size", path, f"{path} has {size}: most have a width of {shape:.2g} times their height.")
