"""The pointing game for `trust.py`: whether the maximum of a Grad-CAM map lies on the object of the class.

Zhang et al. 2016, "Top-down neural attention by excitation backprop" (1608.00507): a hit is a maximum within the box
of the object, with a tolerance of 15 px where the shorter side of the image has 224. The centre of the image, which
needs no network, plays against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import resnets
from resnets.models.imagenet_classes import wordnet_ids
from resnets.tasks.classification.wilson import wilson_interval

TOLERANCE = 15 / 224  # of the shorter side
SMALL = 0.25  # of the image: a box that is below it is small


class Boxed(NamedTuple):
    """An image and the box of its object: left, top, right and bottom, each a pixel within it."""

    path: Path
    label: str
    box: tuple[int, int, int, int]


def boxed_images(root: Path) -> list[Boxed]:
    """Those of Tiny ImageNet's training images that are there."""
    found = []
    for table in sorted(root.glob("train/*/*_boxes.txt")):
        for line in table.read_text().splitlines():
            name, *numbers = line.split("\t")
            path, (left, top, right, bottom) = table.parent / "images" / name, map(int, numbers)
            if path.exists():
                found.append(Boxed(path, table.parent.name, (left, top, right, bottom)))
    return found


def hits(box: tuple[int, int, int, int], point: tuple[float, float], tolerance: float) -> bool:
    """Whether `point`, from the left and the top, lies within `tolerance` of the box."""
    left, top, right, bottom = box
    x, y = point
    return left - tolerance <= x <= right + tolerance and top - tolerance <= y <= bottom + tolerance


def imagenet_model(weights: Path, file: Path) -> resnets.Model:
    """ResNet-18 with `weights` for the 1,000 classes of ImageNet, as a model file."""
    if not file.exists():
        network = resnets.create("resnet18", weights=weights)
        preprocessing = resnets.Preprocessing(resize=256, crop=224)
        resnets.save(network, file, classes=wordnet_ids(), preprocessing=preprocessing)
    return resnets.load(file)


def pointing(model: resnets.Model, images: Sequence[Boxed], stage: str | None = None) -> dict[str, Any]:
    """Hits of the maps of each image's own class, and of its centre.

    Returns:
        "hit" and "center": shares of all images; "hit_interval": of 95% (Wilson); "hit_alone" and "center_alone":
        how many images only one of the two hits; under "small" the same shares where the box is below a quarter of the
        image; "accuracy": of the model's answers among its 1,000 classes.
    """
    map_hits, center_hits, small, right = [], [], [], []
    for label in sorted({each.label for each in images}):
        own = [each for each in images if each.label == label]
        explanations = model.explain([each.path for each in own], target=label, stage=stage)
        for each, explained in zip(own, explanations, strict=True):
            height, width = explained.heat.shape
            tolerance = TOLERANCE * min(width, height)
            row, column = np.unravel_index(int(explained.heat.argmax()), explained.heat.shape)
            map_hits.append(hits(each.box, (int(column), int(row)), tolerance))
            center_hits.append(hits(each.box, ((width - 1) / 2, (height - 1) / 2), tolerance))
            left, top, right_side, bottom = each.box
            small.append((right_side - left + 1) * (bottom - top + 1) < SMALL * width * height)
            right.append(explained.answer[0][0] == label)
    hit, center, is_small = map(np.array, (map_hits, center_hits, small))
    return {
        "images": len(hit),
        "stage": stage,
        "accuracy": float(np.mean(right)),
        "hit": float(hit.mean()),
        "hit_interval": list(wilson_interval(int(hit.sum()), len(hit))),
        "center": float(center.mean()),
        "hit_alone": int((hit & ~center).sum()),
        "center_alone": int((center & ~hit).sum()),
        "small": {
            "images": int(is_small.sum()),
            "hit": float(hit[is_small].mean()),
            "center": float(center[is_small].mean()),
        },
    }
