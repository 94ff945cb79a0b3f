"""The loss of multi-label classification: binary cross-entropy, the mean over the classes."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.modalities.batch import Batch


def binary_cross_entropy(
    logits: Tensor, batch: Batch, label_smoothing: float = 0.0, positive_weights: tuple[float, ...] | None = None
) -> Tensor:
    """The loss of each sample of a training batch, in nats, computed in float32: the mean over the classes.

    A sample mixed of two has mixed labels, `lam * labels + (1 - lam) * partner_labels` (mixup: Zhang et al. 2018,
    1710.09412); the loss is linear in them.

    Args:
        logits: (N, classes).
        batch: "labels", (N, classes) of 0 and 1; of mixed samples also "partner_labels", of that shape, and "lam", (N,)
            float32 in [0, 1].
        label_smoothing: moves each label by half of it towards 0.5, as Szegedy et al. 2016 (1512.00567, section 7) do
            with two classes.
        positive_weights: of each class, by which the loss of a positive label is multiplied: without label smoothing
            as in torch's `BCEWithLogitsLoss(pos_weight)`, which gives the share that smoothing adds to a negative label
            the weight of a positive one.

    Returns:
        (N,) float32.
    """
    labels = batch["labels"].float()
    if positive_weights is None:
        if "lam" in batch:
            labels = torch.lerp(batch["partner_labels"].float(), labels, batch["lam"][:, None])
        return _by_label(logits, labels, label_smoothing).mean(1)
    weights = _on_device(positive_weights, logits.device)
    losses = _by_label(logits, labels, label_smoothing) * torch.lerp(torch.ones_like(weights), weights, labels)
    if "lam" in batch:
        partners = batch["partner_labels"].float()
        others = _by_label(logits, partners, label_smoothing) * torch.lerp(torch.ones_like(weights), weights, partners)
        losses = torch.lerp(others, losses, batch["lam"][:, None])
    return losses.mean(1)


def _by_label(logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """(N, classes) float32: the loss of each label."""
    smoothed = labels * (1 - label_smoothing) + label_smoothing / 2
    return F.binary_cross_entropy_with_logits(logits.float(), smoothed, reduction="none")


@functools.lru_cache(maxsize=8)
def _on_device(weights: tuple[float, ...], device: torch.device) -> Tensor:
    """(classes,) float32 on `device`, copied there once, since a step does not wait for the host."""
    return torch.tensor(weights, dtype=torch.float32, device=device)
