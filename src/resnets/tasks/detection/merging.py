"""One answer from those to several crops of an image (its mirror image, other sizes, tiles), or of several models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import batched_nms

from resnets.core.errors import UsageError
from resnets.tasks.boxes import areas, covered
from resnets.tasks.detection.answers import DetectedImage
from resnets.tasks.detection.masks import moved_mask
from resnets.tasks.records import ragged
from resnets.tasks.regions import Place

NEAR = 2.0  # pixels from the side of a tile at which a box ends there
NMS = 0.5  # the IoU with a better box of its class above which a box is left out, as in the detectors


def merged(answers: Sequence[DetectedImage], most: int | None = None) -> DetectedImage:
    """The boxes of all answers, without those that another one has better (non-maximum suppression by class).

    Args:
        answers: one or more, in pixels of the same image.
        most: how many boxes are kept; None keeps them all.
    """
    boxes, scores, labels, masks = _together(answers)
    kept = batched_nms(*(torch.from_numpy(each) for each in (boxes, scores, labels)), NMS)[:most].numpy()
    return DetectedImage(
        answers[0].size, boxes[kept], scores[kept], labels[kept], None if masks is None else masks[kept]
    )


def stitched(
    tiles: Sequence[tuple[Place, DetectedImage]], size: tuple[int, int], most: int | None = None
) -> DetectedImage:
    """The answer for an image of `size`, height and width, from those to its tiles.

    Beside `merged`, a box that ends where its tile is cut from the image is left out where most of it (`NMS`) lies in a
    better or larger box of its class: it is the part of an object that the next tile shows whole.

    Args:
        tiles: left, top, right and bottom of each tile, and the answer in its pixels.
        most: how many boxes are kept; None keeps them all.
    """
    placed = [_moved(answer, place, size) for place, answer in tiles]
    has_masks = any(answer.masks is not None for _, answer in tiles)
    texts = [(text, place, answer.size) for place, answer in tiles for text in _texts(answer)]
    is_cut = np.concatenate([_cut(each, place, size) for (place, _), each in zip(tiles, placed, strict=True)])
    boxes, scores, labels, _ = _together(placed)
    rank = np.argsort(np.argsort(-scores, kind="stable"))
    exact = boxes.astype(np.float64)
    own = areas(exact)
    kept = np.ones(len(boxes), bool)
    cut = np.flatnonzero(is_cut)
    for number in cut[np.argsort(own[cut], kind="stable")].tolist():  # the smallest first
        better = (own > own[number]) | (rank < rank[number])
        others = np.flatnonzero(kept & (labels == labels[number]) & better)  # so that one of two parts stays
        kept[number] = not (covered(exact[number : number + 1], exact[others]) > NMS).any()
    numbers = np.flatnonzero(kept) if has_masks else None  # in the place of masks, which are moved when few are left
    found = merged([DetectedImage(size, boxes[kept], scores[kept], labels[kept], numbers)], most)
    if found.masks is None:
        return found
    kept_masks = (texts[number] for number in found.masks.tolist())
    return replace(found, masks=ragged([moved_mask(text, place, own, size) for text, place, own in kept_masks]))


def _texts(answer: DetectedImage) -> list[str]:
    return [] if answer.masks is None else answer.masks.tolist()


def _together(
    answers: Sequence[DetectedImage],
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """Boxes, scores, labels and, where the answers have them, masks, one answer after another.

    Raises:
        UsageError: some have masks, and others have none.
    """
    boxes, scores, labels = (
        np.concatenate([getattr(each, name) for each in answers]) for name in ("boxes", "scores", "labels")
    )
    masks = [each.masks for each in answers if each.masks is not None]
    if len(masks) not in (0, len(answers)):
        raise UsageError("Some of these detectors find masks, and others boxes alone: evaluate them one by one.")
    return boxes, scores, labels, np.concatenate(masks) if masks else None


def _moved(answer: DetectedImage, place: Place, size: tuple[int, int]) -> DetectedImage:
    """The boxes of the answer to a tile, in pixels of the image, without masks."""
    left, top, *_ = place
    boxes = answer.boxes + np.array([left, top, left, top], answer.boxes.dtype)
    return DetectedImage(size, boxes, answer.scores, answer.labels)


def _cut(answer: DetectedImage, place: Place, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(n,) whether a box reaches a side of its tile that is none of the image."""
    inner = np.array([place[0] > 0, place[1] > 0, place[2] < size[1], place[3] < size[0]])
    return np.asarray((inner & (np.abs(answer.boxes - np.array(place)) < NEAR)).any(1))
