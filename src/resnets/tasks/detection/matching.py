"""Which answer has found which true object, at one IoU threshold, and the curves and averages that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from resnets.tasks.base import SampleRecords
from resnets.tasks.boxes import covered, iou

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]
LEAST_IOU = 0.5


@dataclass(frozen=True, eq=False)
class FlatBoxes:
    """The boxes of all images in one array, those of each image together.

    Args:
        image: (M,) the row of the image.
        boxes: (M, 4) in pixels.
        labels: (M,)
        offsets: (N + 1,) the first box of each image.
    """

    image: Integers
    boxes: Floats
    labels: Integers
    offsets: Integers

    def of(self, row: int) -> slice:
        """The places of the boxes of an image."""
        return slice(int(self.offsets[row]), int(self.offsets[row + 1]))


@dataclass(frozen=True, eq=False)
class Matches:
    """The answers and the true objects of all images, and which have found one another.

    Args:
        answers: those of each image by their score, the best first.
        scores: (D,) of the answers.
        found: (D,) the number of the true object that each answer has found; -1 for none.
        ignored: (D,) whether an answer counts for nothing, as it lies on an object that counts for nothing.
        truth: the true objects, in their order.
        counts: (T,) whether a true object counts: it is no group, and is not marked as difficult.
        finder: (T,) the number of the answer that has found each; -1 for none.
    """

    answers: FlatBoxes
    scores: Floats
    found: Integers
    ignored: Flags
    truth: FlatBoxes
    counts: Flags
    finder: Integers

    def of_class(self, label: int) -> tuple[Floats, Flags, int]:
        """The scores of a class's answers that count, falling, whether each has found an object, and how many true
        objects there are. Answers of equal score stand in the order of their images."""
        rows = np.flatnonzero((self.answers.labels == label) & ~self.ignored)
        rows = rows[np.argsort(-self.scores[rows], kind="stable")]
        return self.scores[rows], self.found[rows] >= 0, int((self.counts & (self.truth.labels == label)).sum())


def match(records: SampleRecords, least_iou: float = LEAST_IOU, rule: Literal["free", "voc"] = "free") -> Matches:
    """Matches answers with true objects of their class, the answers with higher scores first.

    Args:
        records: see `detection.metrics.evaluate_batch`; the answers of each image by score, the best first.
        least_iou: an answer finds an object that it overlaps by this or more.
        rule: "free", as COCO: each answer takes, of the objects that are still free, the one that it overlaps most;
            if it can take none, it counts for nothing where it lies on one that does not count: on a group with this
            share of itself, on a difficult one with this IoU. "voc", as the development kit of PASCAL VOC (Everingham
            et al. 2010, section 4.4): each answer goes to the object that it overlaps most, whether or not that is
            free, and counts for nothing where that is a group or difficult.
    """
    answers = _objects(records["boxes"], records["labels"])
    truth = _objects(records["true_boxes"], records["true_labels"])
    crowds, difficult = (_joined(records[name], np.bool_) for name in ("crowds", "difficult"))
    counts = ~(crowds | difficult)
    found, ignored = np.full(len(answers.labels), -1), np.zeros(len(answers.labels), np.bool_)
    finder = np.full(len(truth.labels), -1)
    for row in range(len(records["boxes"])):
        own, true = answers.of(row), truth.of(row)
        for label in np.intersect1d(answers.labels[own], truth.labels[true]):
            a = own.start + np.flatnonzero(answers.labels[own] == label)
            t = true.start + np.flatnonzero(truth.labels[true] == label)
            overlaps = iou(answers.boxes[a], truth.boxes[t])
            if rule == "voc":
                chosen, ignored[a] = _most_overlapped(overlaps >= least_iou, overlaps, counts[t])
            else:
                overlaps[:, crowds[t]] = covered(answers.boxes[a], truth.boxes[t][crowds[t]])
                chosen, ignored[a] = _free(overlaps >= least_iou, overlaps, counts[t])
            hits = chosen >= 0
            found[a[hits]], finder[t[chosen[hits]]] = t[chosen[hits]], a[hits]
    return Matches(answers, _joined(records["scores"], np.float64), found, ignored, truth, counts, finder)


def _free(enough: Flags, overlaps: Floats, counts: Flags) -> tuple[Integers, Flags]:
    """Which object each answer takes, -1 for none, and whether it counts for nothing; of one class of one image.

    Args:
        enough: (a, t) whether answer and object overlap enough.
        overlaps: (a, t) by how much.
        counts: (t,) whether the object counts.
    """
    chosen, free = np.full(len(enough), -1), counts.copy()
    for place in np.flatnonzero((enough & counts).any(1)):
        possible = enough[place] & free
        if possible.any():
            chosen[place] = best = int(np.where(possible, overlaps[place], -1).argmax())
            free[best] = False
    return chosen, (chosen < 0) & (enough & ~counts).any(1)


def _most_overlapped(enough: Flags, overlaps: Floats, counts: Flags) -> tuple[Integers, Flags]:
    """As `_free`, by the rule "voc"."""
    best = overlaps.argmax(1)
    meets = enough[np.arange(len(best)), best]
    chosen = np.full(len(best), -1)
    objects, firsts = np.unique(best[meets], return_index=True)
    for taken, first in zip(objects, np.flatnonzero(meets)[firsts], strict=True):
        if counts[taken]:
            chosen[first] = taken
    return chosen, meets & ~counts[best]


def precision_recall(hits: Flags, objects: int) -> tuple[Floats, Floats]:
    """Precision and recall when the first answer is taken, the first two, and so on.

    Args:
        hits: (D,) whether each answer has found an object, the best answer first.
        objects: how many there are, 1 or more.
    """
    true = np.cumsum(hits)
    return true / np.arange(1, len(hits) + 1), true / objects


def average_precision(hits: Flags, objects: int) -> float | None:
    """The area below the curve of precision by recall, made monotone, as of VOC2010 on (VOC12); None without objects.

    Args:
        hits, objects: see `precision_recall`.
    """
    if not objects:
        return None
    precision, recall = precision_recall(hits, objects)
    return float((np.diff(recall, prepend=0) * _monotone(precision)).sum())


def average_precision_at(hits: Flags, objects: int, recalls: int) -> float | None:
    """The mean of the largest precision at each of so many recalls from 0 to 1, or at a higher one: with 11 the AP of
    VOC until 2009 (VOC07), with 101 COCO's. None without objects.

    Args:
        hits, objects: see `precision_recall`.
    """
    if not objects:
        return None
    precision, recall = precision_recall(hits, objects)
    places = np.searchsorted(recall, np.linspace(0, 1, recalls))
    return float(np.append(_monotone(precision), 0)[places].mean())


def _monotone(precision: Floats) -> Floats:
    """The largest precision at each recall or a higher one."""
    return np.maximum.accumulate(precision[::-1])[::-1]


def _objects(boxes: Any, labels: Any) -> FlatBoxes:
    lengths = [len(own) for own in labels]
    return FlatBoxes(
        np.repeat(np.arange(len(lengths)), lengths),
        _joined(boxes, np.float64).reshape(-1, 4),
        _joined(labels, np.int64),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


def _joined(column: Any, kind: Any) -> NDArray[Any]:
    """The rows of a ragged column in one array."""
    return np.concatenate(list(column)).astype(kind) if len(column) else np.zeros(0, kind)
