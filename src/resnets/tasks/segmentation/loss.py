"""The loss of segmentation: cross-entropy of every pixel that counts, and of the auxiliary head's logits."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.modalities.image.read.mask import VOID


def cross_entropy(
    logits: Mapping[str, Tensor],
    masks: Tensor,
    *,
    auxiliary_weight: float,
    label_smoothing: float = 0.0,
    class_weights: tuple[float, ...] | None = None,
) -> dict[str, Tensor]:
    """The sums over the pixels of each sample that count, in nats, computed in float32 (in float64 for such logits).

    They are sums, not means, so that the mean over all pixels of a batch is exact however it is divided: the step
    divides by the sum of `valid_pixels` over the global batch, or of `pixel_weights`.

    Args:
        logits: (N, classes, H, W) by head: "out" and, where there is one, "aux".
        masks: (N, H, W) uint8, `VOID` where a pixel counts for nothing.
        auxiliary_weight: of the loss of "aux".
        label_smoothing: probability spread evenly over all classes of each pixel (Szegedy et al. 2016, section 7).
        class_weights: of each class, by which the loss of its pixels is multiplied; without label smoothing as in
            torch's `CrossEntropyLoss(weight)`. See `tasks.classification.loss`.

    Returns:
        "pixels" and, where there is an auxiliary head, "auxiliary" (weighted): (N,) each.
    """
    classes = masks.long()
    parts = {"pixels": _sums(logits["out"], classes, label_smoothing, class_weights)}
    if "aux" in logits:
        parts["auxiliary"] = auxiliary_weight * _sums(logits["aux"], classes, label_smoothing, class_weights)
    return parts


def valid_pixels(masks: Tensor) -> Tensor:
    """(N,) float32: how many pixels of each mask (N, H, W) count."""
    return (masks != VOID).sum((1, 2)).float()


def pixel_weights(masks: Tensor, class_weights: tuple[float, ...]) -> Tensor:
    """(N,) float32: the sum of the weights of the classes of the pixels of each mask (N, H, W) that count."""
    return _by_value(class_weights, masks.device)[masks.long()].sum((1, 2))


@functools.lru_cache(maxsize=8)
def _by_value(class_weights: tuple[float, ...], device: torch.device) -> Tensor:
    """(256,) float32: the weight of each value of a mask, 0 for `VOID`."""
    return F.pad(torch.tensor(class_weights, dtype=torch.float32), (0, 256 - len(class_weights))).to(device)


def _sums(logits: Tensor, classes: Tensor, label_smoothing: float, class_weights: tuple[float, ...] | None) -> Tensor:
    exact = logits if logits.dtype == torch.float64 else logits.float()
    losses = F.cross_entropy(exact, classes, reduction="none", ignore_index=VOID, label_smoothing=label_smoothing)
    if class_weights is not None:
        losses = losses * _by_value(class_weights, logits.device)[classes]
    return losses.sum((1, 2))
