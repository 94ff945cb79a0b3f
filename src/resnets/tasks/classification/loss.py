"""The losses of a classifier, with label smoothing, also for images mixed of two.

All but binary cross-entropy are a loss of one label, `LabelLoss`, which this module smooths, mixes and weighs alike.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.modalities.batch import Batch
from resnets.tasks.classification.settings import GeneralizedCrossEntropy, SymmetricCrossEntropy


def cross_entropy(
    logits: Tensor, batch: Batch, label_smoothing: float = 0.0, class_weights: tuple[float, ...] | None = None
) -> Tensor:
    """The loss of each sample of a training batch, in nats, computed in float32.

    A mixed image has the loss `lam * loss(label) + (1 - lam) * loss(partner's label)` (mixup: Zhang et al. 2018,
    1710.09412; CutMix: Yun et al. 2019, 1905.04899).

    Args:
        logits: (N, classes).
        batch: "labels", (N,) int64; for mixed images also "partner_labels", (N,) int64, and "lam", (N,) float32 in
            [0, 1].
        label_smoothing: probability spread evenly over all classes (Szegedy et al. 2016, 1512.00567, section 7).
        class_weights: of each class, by which the loss of its samples is multiplied; the mean of a batch then divides
            by the sum of `sample_weights`, as torch's `CrossEntropyLoss(weight)` does. That one weighs the terms of
            label smoothing by the classes that they are of, so that at 100:1 they make every sample one of the rare
            class: here they weigh as the sample does. Without label smoothing both are the same.

    Returns:
        (N,) float32.
    """
    return _of_labels(_cross_entropy, logits, batch, label_smoothing, class_weights)


def loss_for_wrong_labels(
    logits: Tensor,
    batch: Batch,
    settings: GeneralizedCrossEntropy | SymmetricCrossEntropy,
    label_smoothing: float = 0.0,
    class_weights: tuple[float, ...] | None = None,
) -> Tensor:
    """The loss of each sample, as `settings` has it, computed in float32.

    Args:
        logits, batch, class_weights: as of `cross_entropy`.
        label_smoothing: the share of the loss that is the mean loss over all classes, which smoothing is for
            cross-entropy.

    Returns:
        (N,) float32.
    """

    def label_loss(logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
        logs = F.log_softmax(logits, 1)
        if isinstance(settings, GeneralizedCrossEntropy):
            of_each = -torch.expm1(settings.q * logs) / settings.q
        else:
            of_each = settings.beta * (settings.log_of_zero * torch.expm1(logs)) - settings.alpha * logs
        of_label = of_each.gather(1, labels[:, None])[:, 0]
        return torch.lerp(of_label, of_each.mean(1), label_smoothing) if label_smoothing else of_label

    return _of_labels(label_loss, logits, batch, label_smoothing, class_weights)


LabelLoss = Callable[[Tensor, Tensor, float], Tensor]  # logits in float32, labels (N,), label smoothing: (N,)


def _of_labels(
    label_loss: LabelLoss,
    logits: Tensor,
    batch: Batch,
    label_smoothing: float,
    class_weights: tuple[float, ...] | None,
) -> Tensor:
    """(N,) `label_loss` of the samples of a batch, those of mixed images mixed, and each weighed by its class."""
    weights = None if class_weights is None else on_device(class_weights, logits.device)

    def weighed(labels: Tensor) -> Tensor:
        losses = label_loss(logits.float(), labels, label_smoothing)
        return losses if weights is None else losses * weights[labels]

    loss = weighed(batch["labels"])
    if "lam" not in batch:
        return loss
    return torch.lerp(weighed(batch["partner_labels"]), loss, batch["lam"])


def _cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    return F.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)


def sample_weights(batch: Batch, class_weights: tuple[float, ...]) -> Tensor:
    """(N,) float32: the weight of the class of each sample; of an image mixed of two, both mixed with `lam`."""
    labels = batch["labels"]
    weights = on_device(class_weights, labels.device)
    if "lam" not in batch:
        return weights[labels]
    return torch.lerp(weights[batch["partner_labels"]], weights[labels], batch["lam"])


@functools.lru_cache(maxsize=8)
def on_device(class_weights: tuple[float, ...], device: torch.device) -> Tensor:
    """(classes,) float32 on `device`, copied there once, since a step does not wait for the host."""
    return torch.tensor(class_weights, dtype=torch.float32, device=device)


def binary_cross_entropy(
    logits: Tensor, batch: Batch, label_smoothing: float = 0.0, target_threshold: float | None = None
) -> Tensor:
    """The loss of each sample of a training batch, in nats, computed in float32: each class for itself, the mean over
    the classes (Wightman et al. 2021, 2110.00476, section 2), as timm's `BinaryCrossEntropy`.

    Args:
        logits, batch, label_smoothing: as of `cross_entropy`. The targets of a mixed image are mixed with `lam`.
        target_threshold: the targets above it become 1 and the others 0, after smoothing and mixing; None leaves them.

    Returns:
        (N,) float32.
    """
    targets = _smoothed(batch["labels"], logits, label_smoothing)
    if "lam" in batch:
        partners = _smoothed(batch["partner_labels"], logits, label_smoothing)
        targets = torch.lerp(partners, targets, batch["lam"][:, None])
    if target_threshold is not None:
        targets = (targets > target_threshold).float()
    return F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none").mean(1)


def _smoothed(labels: Tensor, logits: Tensor, label_smoothing: float) -> Tensor:
    """(N, classes) float32: 1 for the label, of which `label_smoothing` is spread evenly over all classes."""
    classes = logits.shape[1]
    off = label_smoothing / classes
    targets = torch.full(logits.shape, off, dtype=torch.float32, device=logits.device)
    return targets.scatter_(1, labels[:, None], 1 - label_smoothing + off)
