"""Boxes as numbers: what a detector learns from and gives, and how boxes are coded, cut and overlap.

A box is (x1, y1, x2, y2) in pixels of the input, whose first pixel reaches from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import box_iou

BACKGROUND, BETWEEN = -1, -2  # what `match` gives where there is no object

_IOUS = 2**22  # overlaps in memory at a time

# The numbers of a box as seen from another: its middle and the logarithms of its sides, each times a weight (Girshick
# et al. 2014, 1311.2524, appendix C).
ANCHOR_CODER = BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
REGION_CODER = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))


@dataclass(frozen=True)
class Objects:
    """The objects of one image.

    Args:
        boxes: (M, 4) float. A box without an area is no object.
        labels: (M,) int64, classes from 0.
        masks: (M, H, W) of the input's size, 0 and 1; None where there are none.
    """

    boxes: Tensor
    labels: Tensor
    masks: Tensor | None = None


@dataclass(frozen=True)
class Detections:
    """What a detector finds in one image, the best first.

    Args:
        boxes: (K, 4), within the image.
        labels: (K,) int64, classes from 0.
        scores: (K,) in (0, 1).
        masks: (K, S, S) the probability of each of S x S parts of the box; None where there are none.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    masks: Tensor | None = None


@dataclass(frozen=True)
class Limits:
    """Which detections are given: see `FasterRCNNHead`."""

    min_score: float
    nms: float
    max_boxes: int


def exact(x: Tensor) -> Tensor:
    """`x` in float32; in float64 if it is."""
    return x if x.dtype == torch.float64 else x.float()


def has_area(boxes: Tensor) -> Tensor:
    """(..., 4) to (...): whether each box is wider and higher than 0."""
    return (boxes[..., 2:] > boxes[..., :2]).all(-1)


def at_least(boxes: Tensor, side: float) -> Tensor:
    """(..., 4) to (...): whether both sides of each box are so long."""
    return (boxes[..., 2:] - boxes[..., :2] >= side).all(-1)


def clip(boxes: Tensor, regions: Tensor) -> Tensor:
    """The boxes (N, K, 4) cut at the edges of `regions` (N, 4)."""
    first, last = regions[:, None, :2], regions[:, None, 2:]
    corners = (torch.minimum(torch.maximum(corner, first), last) for corner in (boxes[..., :2], boxes[..., 2:]))
    return torch.cat(tuple(corners), dim=-1)


def match(objects: Tensor, boxes: Tensor, *, low: float, high: float, keep_best: bool = False) -> Tensor:
    """The object that each box stands for.

    Args:
        objects: (M, 4); those without an area are left out.
        boxes: (A, 4).
        low, high: a box of an IoU of `high` or more with an object stands for the one that it overlaps most, and one
            below `low` for the background.
        keep_best: whether the boxes that overlap an object more than all others do stand for an object, however little
            that is (Ren et al. 2015, 1506.01497, section 3.1.2).

    Returns:
        (A,) int64 numbers of objects, `BACKGROUND` or `BETWEEN`.
    """
    if not len(objects) or not len(boxes):
        return torch.full((len(boxes),), BACKGROUND, device=boxes.device)
    parts = boxes.split(max(1, _IOUS // len(objects)))
    best, nearest, found = objects.new_zeros(len(objects)), [], []
    for part in parts:
        overlap = _overlap(objects, part)
        values, indices = overlap.max(0)
        best = torch.maximum(best, overlap.amax(1))
        nearest.append(indices)
        found.append(indices.where(values >= high, torch.where(values < low, BACKGROUND, BETWEEN)))
    if keep_best:
        for number, part in enumerate(parts):
            overlap = overlap if len(parts) == 1 else _overlap(objects, part)
            is_best = ((overlap == best[:, None]) & (best[:, None] > 0)).any(0)
            found[number] = nearest[number].where(is_best, found[number])
    return torch.cat(found)


def _overlap(objects: Tensor, boxes: Tensor) -> Tensor:
    """The IoU of each object (M, 4) with each box (A, 4), (M, A); 0 for objects without an area."""
    overlap: Tensor = box_iou(objects, boxes)
    return overlap.masked_fill(~has_area(objects)[:, None], 0)
