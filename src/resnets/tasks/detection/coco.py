"""Answers and truth in COCO's formats, and COCO's metrics of them (Lin et al. 2014, 1405.0312, and cocodataset.org).

The numbers are those of pycocotools on the JSON that is written here. As there, the size of an answer is the area of
its box, in the numbers of masks too, since results that have both are read so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from resnets.tasks.base import SampleRecords
from resnets.tasks.detection.masks import as_json, faster_coco_eval

NUMBERS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
           "ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large")  # fmt: skip
MASK = "mask_"  # before the names of the numbers of masks
SIZES = {"small": 32**2, "medium": 96**2, "large": 1e5**2}  # by name, the area below which a box is of it


@dataclass(frozen=True)
class CocoScores:
    """COCO's metrics; None where undefined, since there is no such object.

    Args:
        numbers: by the name in `NUMBERS`.
        classes: for each class its "ap" and "ap50".
    """

    numbers: dict[str, float | None]
    classes: tuple[dict[str, float | None], ...]


def image_ids(records: SampleRecords) -> NDArray[np.int64]:
    """(N,) the number of each image: what the data calls it, or from 1 on where that is not known or not unique."""
    ids = records.get("image_ids")
    if ids is None or len(np.unique(ids)) < len(ids):
        return np.arange(1, len(records["boxes"]) + 1)
    return ids.astype(np.int64)


def truth_json(
    records: SampleRecords, categories: Mapping[int, str], names: Sequence[str] | None = None
) -> dict[str, Any]:
    """The true objects as the JSON of a dataset, such as COCO's `instances_val2017.json`.

    Args:
        records: see `detection.metrics.evaluate_batch`.
        categories: what the data calls the class of each number, in their order, with the names.
        names: (N,) of the files.
    """
    ids, numbers = image_ids(records), list(categories)
    images = [
        {"id": number, "width": int(width), "height": int(height), **({"file_name": names[row]} if names else {})}
        for row, (number, (height, width)) in enumerate(zip(ids.tolist(), records["sizes"], strict=True))
    ]
    annotations: list[dict[str, Any]] = []
    masks = records.get("true_masks")
    for row, number in enumerate(ids.tolist()):
        columns = (records[name][row].tolist() for name in ("true_labels", "crowds", "areas"))
        boxes = _as_coco(records["true_boxes"][row])
        for place, (box, label, crowd, area) in enumerate(zip(boxes, *columns, strict=True)):
            annotation = {
                "id": len(annotations) + 1,  # pycocotools takes 0 for none
                "image_id": number,
                "category_id": numbers[label],
                "bbox": box,
                "area": area,
                "iscrowd": int(crowd),
            }
            if masks is not None:
                annotation["segmentation"] = as_json(masks[row][place], records["sizes"][row])
            annotations.append(annotation)
    found = [{"id": number, "name": name} for number, name in categories.items()]
    return {"images": images, "annotations": annotations, "categories": found}


def results_json(records: SampleRecords, categories: Sequence[int]) -> list[dict[str, Any]]:
    """The answers in COCO's results format.

    Args:
        records: with "boxes", "scores", "labels", "sizes" and, where they are answered, "masks" and "image_ids".
        categories: what the data calls the class of each number.
    """
    found: list[dict[str, Any]] = []
    masks = records.get("masks")
    for row, number in enumerate(image_ids(records).tolist()):
        boxes, *columns = (
            _as_coco(records["boxes"][row]),
            *(records[name][row].tolist() for name in ("scores", "labels")),
        )
        for place, (box, score, label) in enumerate(zip(boxes, *columns, strict=True)):
            answer = {"image_id": number, "category_id": categories[label], "bbox": box, "score": score}
            if masks is not None:
                answer["segmentation"] = as_json(masks[row][place], records["sizes"][row])
            found.append(answer)
    return found


def coco_scores(records: SampleRecords, classes: int, kind: Literal["bbox", "segm"] = "bbox") -> CocoScores:
    """COCO's metrics of boxes, or of masks, over all samples.

    Args:
        records: see `detection.metrics.evaluate_batch`; of masks with "masks" and "true_masks".

    Raises:
        UsageError: faster-coco-eval is not installed.
    """
    library = faster_coco_eval()
    numbers = range(1, classes + 1)
    truth, answers = (library.COCO() for _ in range(2))
    truth.dataset = truth_json(records, {number: str(number) for number in numbers})
    results = results_json(records, numbers)
    for number, each in enumerate(results, start=1):
        each |= {"id": number, "area": each["bbox"][2] * each["bbox"][3], "iscrowd": 0}
    answers.dataset = {**truth.dataset, "annotations": results}
    for each in (truth, answers):
        each.createIndex()
    evaluation = library.COCOeval_faster(truth, answers, kind, print_function=lambda *said: None)
    evaluation.evaluate()
    evaluation.accumulate()
    precision, recall = (np.asarray(evaluation.eval[name]) for name in ("precision", "recall"))
    at_50, at_75 = (int(np.argmin(abs(evaluation.params.iouThrs - least))) for least in (0.5, 0.75))
    # precision: (thresholds, recalls, classes, sizes, numbers of answers), recall without the second. The first size is
    # all, the last number of answers 100; what is undefined is -1.
    every = precision[:, :, :, 0, -1]
    found = [every, every[at_50], every[at_75], *(precision[:, :, :, size, -1] for size in (1, 2, 3))]
    found += [recall[:, :, 0, most] for most in range(3)]
    found += [recall[:, :, size, -1] for size in (1, 2, 3)]
    return CocoScores(
        {name: _mean(values) for name, values in zip(NUMBERS, found, strict=True)},
        tuple({"ap": _mean(every[:, :, k]), "ap50": _mean(every[at_50, :, k])} for k in range(classes)),
    )


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def _as_coco(boxes: NDArray[Any]) -> list[list[float]]:
    """(n, 4) boxes as left, top, width and height."""
    exact = boxes.astype(np.float64)
    sides: list[list[float]] = np.concatenate([exact[:, :2], exact[:, 2:] - exact[:, :2]], 1).tolist()
    return sides


def size_of(boxes_areas: NDArray[np.float64]) -> NDArray[np.int64]:
    """(M,) the place in `SIZES` of the size of each area, in square pixels."""
    return np.searchsorted(list(SIZES.values()), boxes_areas, side="right").clip(max=len(SIZES) - 1)
