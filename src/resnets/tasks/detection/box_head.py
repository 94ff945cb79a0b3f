"""Class and box of each proposal: the losses of a sample of them, and what is left of all as an answer.

Girshick 2015 (1504.08083), sections 2.1 to 2.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import batched_nms

from resnets.tasks.detection.boxes import (
    REGION_CODER,
    Detections,
    Limits,
    Objects,
    at_least,
    clip,
    exact,
    has_area,
    match,
)
from resnets.tasks.detection.proposals import BETA
from resnets.tasks.detection.sampling import Sampler

IOU = 0.5  # with an object, from which a proposal stands for it
_SMALLEST = 1e-2  # pixels of a detection's sides


@dataclass(frozen=True)
class SampledRegions:
    """The regions of an image that a loss is taken of.

    Args:
        boxes: (R, 4).
        rows: (R,) int64: 0 for the background, 1 + the class for an object.
        objects: (R,) int64 numbers of the objects; 0 for the background.
    """

    boxes: Tensor
    rows: Tensor
    objects: Tensor


@torch.no_grad()
def sample_regions(proposals: Sequence[Tensor], objects: Sequence[Objects], sampler: Sampler) -> list[SampledRegions]:
    """A sample of the proposals (P, 4) of each image and of the boxes of its objects."""
    candidates, matched, rows = [], [], []
    for boxes, of_image in zip(proposals, objects, strict=True):
        truth = of_image.boxes.to(boxes)
        candidates.append(torch.cat([boxes, truth[has_area(truth)]]))
        matched.append(match(truth, candidates[-1], low=IOU, high=IOU))
        nearest = matched[-1].clamp(min=0)
        classes = of_image.labels[nearest] if len(truth) else nearest
        rows.append((classes + 1).where(matched[-1] >= 0, 0))
    found = []
    for number, sample in enumerate(sampler(rows)):
        kept = sample.indices
        found.append(SampledRegions(candidates[number][kept], rows[number][kept], matched[number][kept].clamp(min=0)))
    return found


def losses(
    logits: Tensor, deltas: Tensor, regions: Sequence[SampledRegions], objects: Sequence[Objects]
) -> dict[str, Tensor]:
    """ "loss_classifier" and "loss_box_reg", (N,) each: means over the regions of an image.

    Args:
        logits: (R, 1 + classes) of the regions of all images.
        deltas: (R, (1 + classes) * 4) the boxes of each class, coded.
    """
    rows = torch.cat([each.rows for each in regions])
    boxes = torch.cat([each.boxes for each in regions])
    truth = torch.cat(
        [
            of_image.boxes.to(each.boxes)[each.objects] if len(of_image.boxes) else each.boxes
            for each, of_image in zip(regions, objects, strict=True)
        ]
    )
    is_object = (rows > 0)[:, None]
    coded = REGION_CODER.encode_single(truth.where(is_object, boxes), boxes)
    own = exact(deltas).view(len(rows), -1, 4)[torch.arange(len(rows), device=rows.device), rows]
    of_box = F.smooth_l1_loss(own, coded, beta=BETA, reduction="none") * is_object
    of_class = F.cross_entropy(exact(logits), rows, reduction="none")
    counts = [len(each.rows) for each in regions]
    return {"loss_classifier": means(of_class, counts), "loss_box_reg": means(of_box.sum(1), counts)}


def means(values: Tensor, counts: Sequence[int]) -> Tensor:
    """(N,) the mean over the values (R,) of each image, of which there are `counts`; 0 where there are none."""
    return torch.stack([each.sum() / max(1, len(each)) for each in values.split(list(counts))])


@torch.no_grad()
def detections(
    logits: Tensor, deltas: Tensor, proposals: Sequence[Tensor], regions: Tensor, limits: Limits
) -> list[Detections]:
    """The answers of each image.

    Args:
        logits, deltas: of the proposals of all images, as in `losses`.
        regions: (N, 4) where the image is on the input; boxes are cut at its edges.
    """
    counts = [len(each) for each in proposals]
    scores = F.softmax(exact(logits), -1)[:, 1:].split(counts)
    coded = exact(deltas).view(len(logits), -1, 4)[:, 1:].split(counts)
    found = []
    for of_image, boxes, own, region in zip(scores, coded, proposals, regions, strict=True):
        places, labels = torch.where(of_image > limits.min_score)
        better = clip(REGION_CODER.decode_single(boxes[places, labels], own[places])[None], region[None])[0]
        found.append(best(better, labels, of_image[places, labels], limits, smallest=_SMALLEST))
    return found


def best(boxes: Tensor, labels: Tensor, scores: Tensor, limits: Limits, *, smallest: float = 0.0) -> Detections:
    """The detections that are left by non-maximum suppression within each class, the best first."""
    if smallest:
        large = at_least(boxes, smallest)
        boxes, labels, scores = boxes[large], labels[large], scores[large]
    kept = batched_nms(boxes, scores, labels, limits.nms)[: limits.max_boxes]
    return Detections(boxes[kept], labels[kept], scores[kept])
