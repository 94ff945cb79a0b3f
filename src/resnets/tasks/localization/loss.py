"""The loss of localization: cross-entropy of the class, and the distance of the box of that class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

FAR = torch.inf


def losses(outputs: Tensor, labels: Tensor, boxes: Sequence[Tensor], label_smoothing: float = 0.0) -> dict[str, Tensor]:
    """The parts of the loss of each sample, (N,) float32 each.

    Args:
        outputs: (N, classes, 5) logits and boxes, of the network.
        labels: (N,) int64.
        boxes: the true boxes of each sample (n, 4), n at least 1, in the unit of those of `outputs`, shares of the
            whole.
        label_smoothing: of the class.

    Returns:
        "class", the cross-entropy; "box", the smooth L1 distance of the coordinates (Girshick 2015, 1504.08083,
        equation 3) plus 1 minus the generalised IoU (Rezatofighi et al. 2019, 1902.09630), of the box of the true class
        from that one of the true boxes from which it is the least.
    """
    outputs = outputs.float()
    own = outputs[torch.arange(len(labels), device=labels.device), labels, 1:]
    return {
        "class": F.cross_entropy(outputs[:, :, 0], labels, reduction="none", label_smoothing=label_smoothing),
        "box": box_distances(own, boxes),
    }


def box_distances(found: Tensor, true: Sequence[Tensor]) -> Tensor:
    """(N,) the distance of each box (N, 4) from the nearest of the true boxes of its sample."""
    most = max((len(each) for each in true), default=0)
    padded = torch.stack([F.pad(each.to(found), (0, 0, 0, most - len(each))) for each in true])  # (N, most, 4)
    present = torch.tensor([[place < len(each) for place in range(most)] for each in true], device=found.device)
    ours = found[:, None].expand_as(padded)
    distances = F.smooth_l1_loss(ours, padded, reduction="none").sum(2)
    distances = distances + generalized_box_iou_loss(ours, padded, reduction="none")
    nearest: Tensor = distances.masked_fill(~present, FAR).amin(1)
    return nearest
