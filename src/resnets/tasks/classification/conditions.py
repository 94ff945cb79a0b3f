"""Under which conditions a classifier does worse: by the size and the brightness of images, and by group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resnets.tasks.base import SampleRecords
from resnets.tasks.classification.interval import accuracy_interval
from resnets.tasks.samples import SampleFacts
from resnets.tasks.sections import Table

PARTS = 3  # of the samples, by size and by brightness
LEAST = 10  # samples of a part, or of a group, whose accuracy says something
WORST_GROUPS = 10
_MEANING = {
    "size": "The size is the side of a square of as many pixels as the original image has.",
    "brightness": "The brightness is the mean luminance of the original image.",
}


def by_image(records: SampleRecords, facts: SampleFacts) -> Table | None:
    """The accuracy by the size and by the brightness of the original images, in thirds of the samples.

    A property that nearly all images share divides them in no parts, and is left out; None where both are.

    Args:
        records: of all N samples.
    """
    if facts.pixels is None or facts.brightness is None:
        return None
    right = (records["label"] == records["predicted"])[facts.rows]
    groups = None if facts.groups is None else facts.groups.of[facts.rows]
    rows: list[tuple[str, ...]] = []
    shown: list[str] = []
    for name, values, unit in (("size", np.sqrt(facts.pixels), " px"), ("brightness", 100 * facts.brightness, "%")):
        parts = _parts(values)
        if len(parts) > 1:
            shown.append(name)
            rows += [
                (_span(name, values[part], unit), *_cells(right[part], None if groups is None else groups[part]))
                for part in parts
            ]
    if not rows:
        return None
    drawn = "" if len(facts.rows) == len(records["label"]) else f" Of {len(facts.rows):,} samples, drawn at random."
    note = f"{' '.join(_MEANING[name] for name in shown)} The parts are thirds of the samples.{drawn}"
    return Table(f"By {' and '.join(shown)}", ("images", "accuracy", "95% interval", "samples"), tuple(rows), note)


def by_group(records: SampleRecords, facts: SampleFacts) -> Table | None:
    """The groups with the lowest accuracy, of those with `LEAST` samples; None where there are no two such groups."""
    if facts.groups is None:
        return None
    right = records["label"] == records["predicted"]
    order = np.argsort(facts.groups.of, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(facts.groups.of[order])) + 1)
    known = [own for own in members if len(own) >= LEAST]
    if len(known) < 2:
        return None
    worst = sorted(known, key=lambda own: (right[own].mean(), -len(own)))[:WORST_GROUPS]
    names = [facts.groups.names[facts.groups.of[own[0]]].decode(errors="surrogateescape") for own in worst]
    rows = tuple((name, *_cells(right[own], None)) for name, own in zip(names, worst, strict=True))
    shown = f"The worst {len(worst)} of {len(known):,} groups" if len(known) > len(worst) else "Groups"
    note = f"{shown} with {LEAST} samples or more. Of many groups, some do badly by accident."
    return Table("By group", ("group", "accuracy", "95% interval", "samples"), rows, note)


def _parts(values: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """The samples in up to `PARTS` parts of nearly the same size, by rising value; equal values are in one part. All
    are in one part where another one would have less than `LEAST`."""
    if not len(values):
        return []
    number = np.searchsorted(np.quantile(values, np.arange(1, PARTS) / PARTS), values, side="left")
    found = [np.flatnonzero(number == part) for part in range(PARTS)]
    found = [part for part in found if len(part)]
    return found if all(len(part) >= LEAST for part in found) else [np.arange(len(values))]


def _span(name: str, values: NDArray[np.float64], unit: str) -> str:
    low, high = (round(float(each)) for each in (values.min(), values.max()))
    return f"{name} {low:,}{unit}" if low == high else f"{name} {low:,} to {high:,}{unit}"


def _cells(right: NDArray[np.bool_], groups: NDArray[np.int64] | None) -> tuple[str, str, str]:
    low, high = accuracy_interval(right, groups)
    return f"{right.mean():.1%}", f"{100 * low:.1f}–{high:.1%}", f"{len(right):,}"
