"""The loss of segmentation: cross-entropy of every pixel that counts, and of the auxiliary head's logits."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.modalities.image.read.mask import VOID


def cross_entropy(
    logits: Mapping[str, Tensor], masks: Tensor, *, auxiliary_weight: float, label_smoothing: float = 0.0
) -> dict[str, Tensor]:
    """The sums over the pixels of each sample that count, in nats, computed in float32 (in float64 for such logits).

    They are sums, not means, so that the mean over all pixels of a batch is exact however it is divided: the step
    divides by the sum of `valid_pixels` over the global batch.

    Args:
        logits: (N, classes, H, W) by head: "out" and, where there is one, "aux".
        masks: (N, H, W) uint8, `VOID` where a pixel counts for nothing.
        auxiliary_weight: of the loss of "aux".
        label_smoothing: probability spread evenly over all classes of each pixel (Szegedy et al. 2016, section 7).

    Returns:
        "pixels" and, where there is an auxiliary head, "auxiliary" (weighted): (N,) each.
    """
    classes = masks.long()
    parts = {"pixels": _sums(logits["out"], classes, label_smoothing)}
    if "aux" in logits:
        parts["auxiliary"] = auxiliary_weight * _sums(logits["aux"], classes, label_smoothing)
    return parts


def valid_pixels(masks: Tensor) -> Tensor:
    """(N,) float32: how many pixels of each mask (N, H, W) count."""
    return (masks != VOID).sum((1, 2)).float()


def _sums(logits: Tensor, classes: Tensor, label_smoothing: float) -> Tensor:
    exact = logits if logits.dtype == torch.float64 else logits.float()
    losses = F.cross_entropy(exact, classes, reduction="none", ignore_index=VOID, label_smoothing=label_smoothing)
    return losses.sum((1, 2))
