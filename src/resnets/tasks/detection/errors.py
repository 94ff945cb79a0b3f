"""What kind of error each wrong answer and each missed object is, and how much AP each kind costs.

The kinds are those of TIDE (Bolya et al. 2020, 2008.08115, section 2.2), which refines Hoiem et al. 2012.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from resnets.tasks.base import SampleRecords
from resnets.tasks.boxes import iou
from resnets.tasks.detection.matching import LEAST_IOU, Flags, Floats, Integers, Matches, average_precision_at, match
from resnets.tasks.records import ragged

Kind = Literal["localization", "class", "class and localization", "duplicate", "background", "miss"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TOUCHING = 0.1  # the IoU below which an answer has nothing to do with an object

_LOCALIZATION, _CLASS, _BOTH, _DUPLICATE, _BACKGROUND = range(5)


@dataclass(frozen=True, eq=False)
class Errors:
    """The errors at an IoU of 0.5.

    Args:
        kind: (D,) the place in `KINDS` of each answer's error; -1 of answers that are right or count for nothing.
        nearest: (D,) the number of the true object that an answer would have found without its error, of the kinds
            "localization" and "class"; else -1.
        missed: (T,) whether an object was found by no answer, and no such error is near it.
    """

    matches: Matches
    kind: Integers
    nearest: Integers
    missed: Flags

    def count(self, kind: Kind) -> int:
        """How many errors there are of a kind."""
        return int(self.missed.sum() if kind == "miss" else (self.kind == KINDS.index(kind)).sum())


def find_errors(records: SampleRecords, matches: Matches | None = None) -> Errors:
    """The kind of each error, the first that fits:

    - localization: the IoU with an object of its class is 0.1 or more, but no 0.5;
    - class: the IoU with an object of another class is 0.5 or more;
    - duplicate: the IoU with an object of its class is 0.5 or more, but a better answer has found that;
    - background: no IoU with any object is 0.1 or more;
    - class and localization: the rest;
    - miss: an object that no answer has found, and none would with its place or its class corrected.

    Args:
        records: see `detection.metrics.evaluate_batch`.
        matches: of `match` with these records.
    """
    matches = match(records) if matches is None else matches
    answers, truth = matches.answers, matches.truth
    kind, nearest = np.full(len(answers.labels), -1), np.full(len(answers.labels), -1)
    wrong = (matches.found < 0) & ~matches.ignored
    for row in np.unique(answers.image[wrong]):
        own = answers.of(row).start + np.flatnonzero(wrong[answers.of(row)])
        true = truth.of(row).start + np.flatnonzero(matches.counts[truth.of(row)])
        overlaps = iou(answers.boxes[own], truth.boxes[true])
        alike = answers.labels[own][:, None] == truth.labels[true]
        same, other = (np.where(which, overlaps, 0) for which in (alike, ~alike))
        best_same, best_other = same.max(1, initial=0), other.max(1, initial=0)
        conditions = [
            (best_same >= TOUCHING) & (best_same < LEAST_IOU),
            best_other >= LEAST_IOU,
            best_same >= LEAST_IOU,
            overlaps.max(1, initial=0) < TOUCHING,
        ]
        kind[own] = np.select(conditions, [_LOCALIZATION, _CLASS, _DUPLICATE, _BACKGROUND], _BOTH)
        for which, near in ((_LOCALIZATION, same), (_CLASS, other)):
            rows = np.flatnonzero(kind[own] == which)
            if len(rows):
                nearest[own[rows]] = true[near[rows].argmax(1)]
    missed = matches.counts & (matches.finder < 0)
    missed[nearest[nearest >= 0]] = False
    return Errors(matches, kind, nearest, missed)


def lost_ap(errors: Errors, classes: int) -> dict[Kind, float | None]:
    """How much higher COCO's AP at an IoU of 0.5 would be without the errors of each kind, the others staying; None
    without a true object.

    A wrong place or class is corrected; of several such answers to one object the best, the others go. Duplicates,
    answers of the background and those with both wrong go. Missed objects go.
    """
    matches = errors.matches
    whole = _ap50(matches, classes, matches.answers.labels, matches.found >= 0, ~matches.ignored, matches.counts)
    best = _best_of_each(errors)
    lost: dict[Kind, float | None] = {}
    for place, kind in enumerate(KINDS):
        labels, right, kept, counts = matches.answers.labels, matches.found >= 0, ~matches.ignored, matches.counts
        if kind == "miss":
            counts = counts & ~errors.missed
        else:
            which = errors.kind == place
            corrected = which & best
            labels = np.where(corrected, matches.truth.labels[errors.nearest], labels) if corrected.any() else labels
            right, kept = right | corrected, kept & (corrected | ~which)
        mended = _ap50(matches, classes, labels, right, kept, counts)
        # Fewer objects change at which recalls precision is taken, which can lower the mean by a trace.
        lost[kind] = None if mended is None or whole is None else max(mended - whole, 0.0)
    return lost


def _best_of_each(errors: Errors) -> Flags:
    """(D,) whether an answer is the best of those near a free object, of those that can be corrected."""
    matches = errors.matches
    near = np.flatnonzero(errors.nearest >= 0)
    near = near[matches.finder[errors.nearest[near]] < 0]
    near = near[np.argsort(-matches.scores[near], kind="stable")]
    _, firsts = np.unique(errors.nearest[near], return_index=True)
    best = np.zeros(len(errors.nearest), np.bool_)
    best[near[firsts]] = True
    return best


def _ap50(matches: Matches, classes: int, labels: Integers, right: Flags, kept: Flags, counts: Flags) -> float | None:
    """The mean over the classes that have objects; None where none has.

    Args:
        labels, right, kept: (D,) of the answers: their classes, whether they have found an object, whether they count.
        counts: (T,) whether the objects count.
    """
    found = []
    for label in range(classes):
        rows = np.flatnonzero(kept & (labels == label))
        rows = rows[np.argsort(-matches.scores[rows], kind="stable")]
        objects = int((counts & (matches.truth.labels == label)).sum())
        if (own := average_precision_at(right[rows], objects, 101)) is not None:
            found.append(own)
    return float(np.mean(found)) if found else None


def above(records: SampleRecords, thresholds: Sequence[float]) -> SampleRecords:
    """The records with those answers alone whose score reaches the threshold of their class."""
    least: Floats = np.asarray(thresholds, np.float64)
    kept = [scores >= least[labels] for scores, labels in zip(records["scores"], records["labels"], strict=True)]
    names = [name for name in ("boxes", "scores", "labels", "masks") if name in records]
    return records | {
        name: ragged(own[which] for own, which in zip(records[name], kept, strict=True)) for name in names
    }
