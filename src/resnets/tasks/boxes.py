"""Boxes as arrays: left, top, right and bottom in pixels, from the upper left corner of the image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]  # (..., 4)


def areas(boxes: Boxes) -> NDArray[np.float64]:
    """(...) the areas of boxes (..., 4), in square pixels."""
    sides: NDArray[np.float64] = boxes[..., 2:] - boxes[..., :2]
    return np.multiply(sides[..., 0], sides[..., 1])


def intersections(boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
    """(n, m) the area that each of `boxes` (n, 4) has in common with each of `others` (m, 4)."""
    upper_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    lower_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides: NDArray[np.float64] = np.maximum(lower_right - upper_left, 0)
    return np.multiply(sides[..., 0], sides[..., 1])


def iou(boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
    """(n, m) intersection over union of each of `boxes` (n, 4) with each of `others` (m, 4); 0 of two without area."""
    both = intersections(boxes, others)
    union = areas(boxes)[:, None] + areas(others)[None] - both
    return np.divide(both, union, out=np.zeros_like(both), where=union > 0)


def covered(boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
    """(n, m) the share of each of `boxes` (n, 4) that lies in each of `others` (m, 4), by which COCO compares answers
    with groups of objects; 0 of boxes without area."""
    both, own = intersections(boxes, others), areas(boxes)[:, None]
    return np.divide(both, own, out=np.zeros_like(both), where=own > 0)
