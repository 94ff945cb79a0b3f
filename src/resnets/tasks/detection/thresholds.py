"""The score from which an answer is taken, for each class: chosen on `val`, and what it means there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resnets.tasks.detection.matching import Flags, Floats, Matches

THRESHOLD = 0.5  # of each class, where none was chosen


def best_thresholds(matches: Matches, classes: int, precision: float | None = None) -> tuple[float, ...]:
    """The `best_threshold` of each class.

    Args:
        matches: of all samples of `val`.
        precision: see `best_threshold`.
    """
    return tuple(best_threshold(*matches.of_class(label), precision) for label in range(classes))


def best_threshold(scores: Floats, hits: Flags, objects: int, precision: float | None = None) -> float:
    """The score from which the answers of a class are taken: midway between the lowest that is and the next below.

    `THRESHOLD` where there is no object, or no answer that has found one.

    Args:
        scores: (D,) falling.
        hits: (D,) whether each answer has found an object.
        objects: how many there are.
        precision: the one that is wanted, a fraction of 1: the lowest score from which it is reached, or that of the
            highest precision, where it is never reached; None takes the score with the highest F1. Of several, the
            highest.
    """
    if not objects or not hits.any():
        return THRESHOLD
    last = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)  # of equal scores
    true, taken = np.cumsum(hits)[last], last + 1
    if precision is None:
        best = int(np.argmax(2 * true / (taken + objects)))
    elif (reached := np.flatnonzero(true / taken >= precision)).size:
        best = int(reached[np.argmax(true[reached])])
    else:
        best = int(np.argmax(true / taken))
    lowest = float(scores[last[best]])
    below = float(scores[last[best + 1]]) if best + 1 < len(last) else 0.0
    middle = (lowest + below) / 2
    return middle if middle > below else lowest  # equal where no float64 lies between the two


def at_thresholds(matches: Matches, thresholds: Sequence[float]) -> list[dict[str, float | int | None]]:
    """For each class what its threshold gives.

    Returns:
        "boxes" (true ones that count), "threshold", "precision" (None without an answer), "recall" (None without a true
        box) and "f1" (None with neither).
    """
    found: list[dict[str, float | int | None]] = []
    for label, threshold in enumerate(thresholds):
        scores, hits, objects = matches.of_class(label)
        taken = scores >= threshold
        true, answers = int(hits[taken].sum()), int(taken.sum())
        found.append(
            {
                "boxes": objects,
                "threshold": float(threshold),
                "precision": true / answers if answers else None,
                "recall": true / objects if objects else None,
                "f1": 2 * true / (answers + objects) if answers + objects else None,
            }
        )
    return found
