"""The masks of regions: a branch of Mask R-CNN (He et al. 2017, 1703.06870, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

from resnets.tasks.detection.box_head import SampledRegions, means
from resnets.tasks.detection.boxes import Objects, exact

_PIXELS = 2**24  # of masks in memory as floats at a time


def loss(logits: Tensor, regions: Sequence[SampledRegions], objects: Sequence[Objects]) -> Tensor:
    """(N,) the mean over the positions of the regions of objects of an image.

    Args:
        logits: (R, 1 + classes, S, S) of those regions of all images.
        regions: those of each image.
    """
    rows = torch.cat([each.rows for each in regions])
    truth = torch.cat(
        [_cut(of_image.masks, each, logits.shape[-1]) for each, of_image in zip(regions, objects, strict=True)]
    )
    own = exact(logits)[torch.arange(len(rows), device=rows.device), rows]
    of_region = F.binary_cross_entropy_with_logits(own, truth.to(own), reduction="none").mean((1, 2))
    return means(of_region, [len(each.rows) for each in regions])


@torch.no_grad()
def _cut(masks: Tensor | None, regions: SampledRegions, size: int) -> Tensor:
    """(R, size, size) the mask (H, W) of the object of each region, within the region."""
    boxes = regions.boxes
    if masks is None or not len(boxes):
        return boxes.new_zeros(len(boxes), size, size)
    found = boxes.new_zeros(len(boxes), size, size)
    objects, numbers = regions.objects.unique(return_inverse=True)
    step = max(1, _PIXELS // masks[0].numel())
    for first in range(0, len(objects), step):
        part = objects[first : first + step]
        places = torch.where((numbers >= first) & (numbers < first + step))[0]
        rois = torch.cat([(numbers[places] - first)[:, None].to(boxes), boxes[places]], dim=1)
        found[places] = roi_align(masks[part][:, None].to(boxes.dtype), rois, (size, size), 1.0)[:, 0]
    return found


def probabilities(logits: Tensor, labels: Sequence[Tensor]) -> Sequence[Tensor]:
    """(K, S, S) of the detections of each image: for each position that it belongs to the object.

    Args:
        logits: (K, 1 + classes, S, S) of the detections of all images.
        labels: (K,) classes from 0 of the detections of each image.
    """
    rows = torch.cat(tuple(labels)) + 1
    own = exact(logits)[torch.arange(len(rows), device=rows.device), rows].sigmoid()
    found: Sequence[Tensor] = own.split([len(each) for each in labels])
    return found
