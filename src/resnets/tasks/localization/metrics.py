"""The metrics of localization, as ILSVRC counts them (Russakovsky et al. 2015, 1409.0575, section 4.2): of each image
five guesses of a class and a box, and the box where the class is given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.tasks.base import SampleRecords
from resnets.tasks.boxes import iou

GUESSES = 5
LEAST_IOU = 0.5


def best_overlaps(boxes: NDArray[Any], true_boxes: Iterable[NDArray[Any]]) -> NDArray[np.float64]:
    """(N, K) the largest IoU that each box of a sample has with one of its true boxes; 0 of samples without one.

    Args:
        boxes: (N, K, 4).
        true_boxes: for each sample (n, 4).
    """
    rows = [
        iou(own.astype(np.float64), true.astype(np.float64)).max(1, initial=0)
        for own, true in zip(boxes, true_boxes, strict=True)
    ]
    return np.stack(rows) if rows else np.zeros(boxes.shape[:2])


def right_guesses(records: SampleRecords) -> tuple[NDArray[Any], NDArray[Any]]:
    """(N, K) bool each: which guesses have the true class, and which of these have a box that is right too."""
    right = records["guesses"] == records["label"][:, None]
    return right, right & (best_overlaps(records["boxes"], records["true_boxes"]) >= LEAST_IOU)


def given_overlaps(records: SampleRecords) -> NDArray[np.float64]:
    """(N,) the largest IoU that the box of the true class has with a true box."""
    return best_overlaps(records["given_boxes"][:, None], records["true_boxes"])[:, 0]


def metrics(records: SampleRecords) -> dict[str, Any]:
    """The figures over all samples, ready for JSON.

    Args:
        records: "label" (N,) the class of each sample; "guesses" (N, K) the classes that are guessed, the most probable
            first, K up to 5; "boxes" (N, K, 4) the box of each guess; "given_boxes" (N, 4) the box where the true class
            is given; "true_boxes" (N,) of (n, 4), all boxes of the true class; "loss" (N,), where it is known.

    Returns:
        "top1_error" and "top5_error" (the share of the samples of which none of the guesses has the true class),
        "top1_localization_error" and "top5_localization_error" (none has the true class and an IoU of 0.5 or more with
        a true box), "given_class_localization_error" (the box of the true class has less), "loss" and "samples". All
        but the last two are fractions of 1; None where there are no samples.
    """
    right, placed = right_guesses(records)
    given = np.asarray(given_overlaps(records) >= LEAST_IOU)
    return {
        "top1_error": _error(right[:, 0]),
        "top5_error": _error(np.asarray(right.any(1))),
        "top1_localization_error": _error(placed[:, 0]),
        "top5_localization_error": _error(np.asarray(placed.any(1))),
        "given_class_localization_error": _error(given),
        "loss": float(records["loss"].astype(np.float64).mean()) if "loss" in records and len(right) else None,
        "samples": len(right),
    }


def _error(right: NDArray[np.bool_]) -> float | None:
    return float((~right).mean()) if len(right) else None
