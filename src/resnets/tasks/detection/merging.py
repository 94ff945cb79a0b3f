"""One answer from those to several crops of an image: its mirror image, other sizes, tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torchvision.ops import batched_nms

from resnets.tasks.detection.answers import DetectedImage

NMS = 0.5  # the IoU with a better box of its class above which a box is left out, as in the detectors


def merged(answers: Sequence[DetectedImage], most: int | None = None) -> DetectedImage:
    """The boxes of all answers, without those that another one has better (non-maximum suppression by class).

    Args:
        answers: one or more, in pixels of the same image.
        most: how many boxes are kept; None keeps them all.
    """
    boxes, scores, labels = (
        np.concatenate([getattr(each, name) for each in answers]) for name in ("boxes", "scores", "labels")
    )
    own = [each.masks for each in answers]
    masks = None if any(each is None for each in own) else np.concatenate([each for each in own if each is not None])
    kept = batched_nms(*(torch.from_numpy(each) for each in (boxes, scores, labels)), NMS)[:most].numpy()
    return DetectedImage(
        answers[0].size, boxes[kept], scores[kept], labels[kept], None if masks is None else masks[kept]
    )
