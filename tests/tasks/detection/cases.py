"""Random truth and answers near it, and the truth of real images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.tasks.base import SampleRecords
from resnets.tasks.detection.answers import DetectedImage
from resnets.tasks.detection.masks import encode
from resnets.tasks.detection.metrics import evaluate_batch
from resnets.tasks.records import column

Truth = list[dict[str, NDArray[Any]]]


def records_of(answers: list[DetectedImage], truth: Truth) -> SampleRecords:
    """The records of an evaluation, as scoring keeps them."""
    names = truth[0]
    batch = evaluate_batch(answers, {name: [each[name] for each in truth] for name in names})
    return {name: column(values) for name, values in batch.items()}


def random_boxes(g: np.random.Generator, count: int, size: tuple[int, int]) -> NDArray[np.float64]:
    """Boxes of all of COCO's sizes that lie on an image of `size`, to a hundredth of a pixel."""
    height, width = size
    center = g.uniform(0, 1, (count, 2)) * [width, height]
    half = np.exp(g.uniform(1, 5, (count, 2)))
    boxes = np.concatenate([center - half, center + half], 1).clip(0, [width, height] * 2)
    kept: NDArray[np.float64] = boxes.round(2)[(boxes[:, 2:] - boxes[:, :2]).min(1) > 1]
    return kept


def as_masks(boxes: NDArray[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An ellipse in each box."""
    rows, columns = (np.arange(side) + 0.5 for side in size)
    left, top, right, bottom = (each[:, None, None] for each in boxes.T)
    x = (columns[None, None] - (left + right) / 2) / np.maximum((right - left) / 2, 0.5)
    y = (rows[None, :, None] - (top + bottom) / 2) / np.maximum((bottom - top) / 2, 0.5)
    masks: NDArray[np.uint8] = (x**2 + y**2 <= 1).astype(np.uint8)
    return masks


def random_truth(seed: int, classes: int, images: int = 12, *, masks: bool = False, crowds: float = 0.1) -> Truth:
    """Some images have no objects, some objects are groups, some difficult, and some are there twice."""
    g = np.random.default_rng(seed)
    found: Truth = []
    for number in range(images):
        size = (int(g.integers(120, 400)), int(g.integers(120, 400)))
        boxes = random_boxes(g, 0 if number % 5 == 4 else int(g.integers(1, 12)), size)
        if number % 3 == 0:
            boxes = np.concatenate([boxes, boxes[:2] + 0.25])
        count = len(boxes)
        own: dict[str, NDArray[Any]] = {
            "boxes": boxes,
            "labels": g.integers(0, classes, count),
            "crowds": g.random(count) < crowds,
            "difficult": g.random(count) < 0.1,
            "areas": ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).round(2),
            "size": np.array(size),
        }
        if masks:
            own["masks"] = as_masks(boxes, size)
            own["areas"] = own["masks"].sum((1, 2)).astype(float)
        found.append(own)
    return found


def answers_near(truth: Truth, classes: int, seed: int = 0, *, masks: bool = False) -> list[DetectedImage]:
    """For each image boxes near the true ones, some twice, some of another class, some elsewhere. Many scores are
    equal, as they are in low precision."""
    g = np.random.default_rng([seed, 1])
    found = []
    for own in truth:
        size = (int(own["size"][0]), int(own["size"][1]))
        chosen = g.integers(0, max(len(own["boxes"]), 1), int(2 * len(own["boxes"])))
        moved = own["boxes"][chosen] + g.normal(0, 1, (len(chosen), 4)) * g.choice([0, 2, 15], (len(chosen), 1))
        boxes = np.concatenate([moved, random_boxes(g, int(g.integers(0, 8)), size)])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        labels = np.concatenate([own["labels"][chosen], g.integers(0, classes, len(boxes) - len(chosen))])
        labels = np.where(g.random(len(boxes)) < 0.2, g.integers(0, classes, len(boxes)), labels)
        scores = (g.random(len(boxes)) * 32).round() / 32
        found.append(
            DetectedImage(
                size,
                boxes.astype(np.float32),
                scores.astype(np.float32),
                labels,
                encode(as_masks(boxes, size)) if masks else None,
            )
        )
    return found


def without_sizes(truth: Truth) -> Truth:
    """The targets alone, as a dataset gives them."""
    return [{name: values for name, values in each.items() if name != "size"} for each in truth]


def coco_truth(folder: Path, *, masks: bool = False) -> tuple[Truth, dict[int, str]]:
    """The truth of `coco40`, in the order of its JSON, and the names of the categories by id; with masks drawn from the
    boxes, since the data has none with ids."""
    data: Mapping[str, Any] = json.loads((folder / "instances.json").read_text())
    categories = {each["id"]: each["name"] for each in data["categories"]}
    numbers = {number: place for place, number in enumerate(categories)}
    found: Truth = []
    for image in data["images"]:
        own = [each for each in data["annotations"] if each["image_id"] == image["id"]]
        boxes = np.array([each["bbox"] for each in own], float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        size = (image["height"], image["width"])
        found.append(
            {
                "boxes": boxes,
                "labels": np.array([numbers[each["category_id"]] for each in own], np.int64),
                "crowds": np.array([each["iscrowd"] for each in own], bool),
                "difficult": np.zeros(len(own), bool),
                "areas": np.array([each["area"] for each in own], float),
                "image_ids": np.array(image["id"]),
                "size": np.array(size),
                **({"masks": as_masks(boxes, size)} if masks else {}),
            }
        )
    return found, categories
