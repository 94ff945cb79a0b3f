"""The metrics of detection: what is recorded of each image, and the exact figures over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resnets.tasks.base import SampleRecords
from resnets.tasks.detection.answers import DetectedImage
from resnets.tasks.detection.coco import MASK, coco_scores
from resnets.tasks.detection.masks import encode
from resnets.tasks.detection.matching import Matches, average_precision, average_precision_at, match
from resnets.tasks.detection.thresholds import THRESHOLD, at_thresholds

_TRUTH = {"boxes": "true_boxes", "labels": "true_labels", "crowds": "crowds", "difficult": "difficult",
          "areas": "areas"}  # fmt: skip


def evaluate_batch(answers: Sequence[DetectedImage], truth: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The records of each sample of a batch.

    Args:
        answers: of each sample, at the size of the original.
        truth: for each sample "boxes" (t, 4) in pixels, "labels" (t,), "crowds" (t,) (groups of objects), "difficult"
            (t,), "areas" (t,) in square pixels, and, where they are known, "masks" (t, height, width) and "image_ids"
            ().

    Returns:
        "sizes" (N, 2) height and width; of the answers, the best first, "boxes" (d, 4), "scores" (d,) and "labels" (d,)
        of each sample; "true_boxes", "true_labels", "crowds", "difficult" and "areas"; "image_ids" (N,), where they are
        known; and, where both answers and truth have them, "masks" and "true_masks", texts of `masks.encode`.
    """
    found: dict[str, Any] = {
        "sizes": np.array([each.size for each in answers], np.int64).reshape(-1, 2),
        "boxes": [each.boxes for each in answers],
        "scores": [each.scores for each in answers],
        "labels": [each.labels for each in answers],
        **{name: [_array(each) for each in truth[own]] for own, name in _TRUTH.items()},
    }
    if "image_ids" in truth:
        found["image_ids"] = np.array([int(each) for each in truth["image_ids"]], np.int64)
    if "masks" in truth and all(each.masks is not None for each in answers):
        found["masks"] = [each.masks for each in answers]
        found["true_masks"] = [encode(_array(each)) for each in truth["masks"]]
    return found


def metrics(
    records: SampleRecords, classes: tuple[str, ...], thresholds: Sequence[float] | None = None
) -> dict[str, Any]:
    """The figures over all samples, ready for JSON; None where undefined, as the AP without a true box.

    Args:
        records: of `evaluate_batch`, and "loss" (N,), where it is known.
        thresholds: for each class, the score from which an answer is taken; None is 0.5 each.

    Returns:
        COCO's twelve numbers (`coco.NUMBERS`), and those of masks with "mask_" before, where there are masks;
        "voc07_ap50" and "voc12_ap50", the means over the classes that have true boxes of the AP at an IoU of 0.5, as
        VOC computed it until and from 2010 on, without what is difficult or a group; "loss" (mean), "samples", "boxes"
        (true ones that are no groups and not difficult) and "classes": by name "ap", "ap50", "voc07_ap50", "voc12_ap50"
        (with masks "mask_ap" and "mask_ap50") and what `thresholds.at_thresholds` says. COCO's numbers know nothing of
        difficult objects, and count them as others.
    """
    count = len(classes)
    of_boxes = coco_scores(records, count)
    figures: dict[str, Any] = dict(of_boxes.numbers)
    by_class: list[dict[str, Any]] = [dict(each) for each in of_boxes.classes]
    if "masks" in records:
        of_masks = coco_scores(records, count, "segm")
        figures |= {MASK + name: value for name, value in of_masks.numbers.items()}
        for each, more in zip(by_class, of_masks.classes, strict=True):
            each |= {MASK + name: value for name, value in more.items()}
    voc = voc_scores(records, count)
    for name, values in voc.items():
        known = [value for value in values if value is not None]
        figures[name] = float(np.mean(known)) if known else None
        for each, value in zip(by_class, values, strict=True):
            each[name] = value
    matches = match(records)
    for each, facts in zip(by_class, at_thresholds(matches, used(thresholds, count)), strict=True):
        each |= facts
    return {
        **figures,
        "loss": float(records["loss"].astype(np.float64).mean()) if "loss" in records else None,
        "samples": len(records["boxes"]),
        "boxes": int(matches.counts.sum()),
        "classes": dict(zip(classes, by_class, strict=True)),
    }


def used(thresholds: Sequence[float] | None, classes: int) -> Sequence[float]:
    """The threshold of each class: those that are given, or else `THRESHOLD`."""
    return [THRESHOLD] * classes if thresholds is None else thresholds


def voc_scores(records: SampleRecords, classes: int) -> dict[str, list[float | None]]:
    """For each class "voc07_ap50" and "voc12_ap50"; see `metrics`."""
    matches: Matches = match(records, rule="voc")
    own = [matches.of_class(label)[1:] for label in range(classes)]
    return {
        "voc07_ap50": [average_precision_at(hits, objects, 11) for hits, objects in own],
        "voc12_ap50": [average_precision(hits, objects) for hits, objects in own],
    }


def _array(values: Any) -> Any:
    """A tensor or an array as an array."""
    return np.asarray(values.cpu() if hasattr(values, "cpu") else values)
