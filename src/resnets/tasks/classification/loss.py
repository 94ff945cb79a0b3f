"""The loss of a classifier: cross-entropy with label smoothing, also for images mixed of two."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.modalities.batch import Batch


def cross_entropy(logits: Tensor, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
    """The loss of each sample of a training batch, in nats, computed in float32.

    A mixed image has the loss `lam * loss(label) + (1 - lam) * loss(partner's label)` (mixup: Zhang et al. 2018,
    1710.09412; CutMix: Yun et al. 2019, 1905.04899).

    Args:
        logits: (N, classes).
        batch: "labels", (N,) int64; for mixed images also "partner_labels", (N,) int64, and "lam", (N,) float32 in
            [0, 1].
        label_smoothing: probability spread evenly over all classes (Szegedy et al. 2016, 1512.00567, section 7).

    Returns:
        (N,) float32.
    """
    loss = _cross_entropy(logits, batch["labels"], label_smoothing)
    if "lam" not in batch:
        return loss
    partner_loss = _cross_entropy(logits, batch["partner_labels"], label_smoothing)
    return torch.lerp(partner_loss, loss, batch["lam"])


def _cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    return F.cross_entropy(logits.float(), labels, reduction="none", label_smoothing=label_smoothing)
