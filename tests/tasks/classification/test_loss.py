"""The loss of classification, against torch's cross-entropy."""

from __future__ import annotations

import pytest
import timm.data.mixup
import timm.loss.binary_cross_entropy
import torch
import torch.nn.functional as F

from resnets.core.errors import UsageError
from resnets.modalities.batch import Batch
from resnets.tasks.classification.loss import binary_cross_entropy, cross_entropy
from resnets.tasks.classification.settings import Classify
from resnets.tasks.classification.task import Classification
from tests.tasks.classification.cases import random_case


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_the_loss_is_cross_entropy_for_each_sample(smoothing: float) -> None:
    logits, labels = random_case()
    expected = torch.stack(
        [F.cross_entropy(x[None], y[None], label_smoothing=smoothing) for x, y in zip(logits, labels, strict=True)]
    )
    losses = cross_entropy(logits, Batch({"labels": labels}), smoothing)
    torch.testing.assert_close(losses, expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_mixed_images_is_that_of_mixed_labels(smoothing: float) -> None:
    logits, labels = random_case()
    partners, lam = labels.roll(1), torch.rand(len(labels), generator=torch.Generator().manual_seed(0))
    lam[:2] = torch.tensor([0.0, 1.0])
    own, other = (F.one_hot(y, 7).float() for y in (labels, partners))
    soft = lam[:, None] * own + (1 - lam[:, None]) * other
    expected = F.cross_entropy(logits, soft, reduction="none", label_smoothing=smoothing)
    batch = Batch({"labels": labels, "partner_labels": partners, "lam": lam})
    torch.testing.assert_close(cross_entropy(logits, batch, smoothing), expected)


def test_the_loss_of_half_precision_logits_is_taken_in_float32() -> None:
    logits, labels = random_case()
    losses = cross_entropy(logits.bfloat16(), Batch({"labels": labels}))
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, F.cross_entropy(logits.bfloat16().float(), labels, reduction="none"))


@pytest.mark.parametrize("threshold", [None, 0.2])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_binary_cross_entropy_of_mixed_images_is_timms(smoothing: float, threshold: float | None) -> None:
    """timm mixes the whole batch with one lam, and each image with its mirror image in the batch."""
    logits, labels = random_case()
    theirs = timm.loss.binary_cross_entropy.BinaryCrossEntropy(smoothing=smoothing, target_threshold=threshold)
    plain = binary_cross_entropy(logits, Batch({"labels": labels}), smoothing, threshold)
    torch.testing.assert_close(plain.mean(), theirs(logits, labels))
    for lam in (0.0, 0.15, 0.3, 0.9, 1.0):
        targets = timm.data.mixup.mixup_target(labels, logits.shape[1], lam, smoothing)
        batch = Batch({"labels": labels, "partner_labels": labels.flip(0), "lam": torch.full((len(labels),), lam)})
        torch.testing.assert_close(
            binary_cross_entropy(logits, batch, smoothing, threshold).mean(), theirs(logits, targets)
        )


def test_the_task_takes_its_loss_from_its_settings() -> None:
    logits, labels = random_case()
    batch = Batch({"inputs": logits, "labels": labels})
    for settings, expected in (
        (Classify(), cross_entropy(logits, batch, 0.1)),
        (Classify(loss="binary_cross_entropy"), binary_cross_entropy(logits, batch, 0.1)),
        (
            Classify(loss="binary_cross_entropy", target_threshold=0.95),
            binary_cross_entropy(logits, batch, 0.1, 0.95),
        ),
    ):
        task = Classification(settings=settings, label_smoothing=0.1)
        torch.testing.assert_close(task.loss(lambda inputs: inputs, batch)["loss"], expected)


def test_a_threshold_is_for_binary_cross_entropy_and_within_range() -> None:
    with pytest.raises(UsageError, match="target_threshold is for task"):
        Classify(target_threshold=0.2)
    with pytest.raises(UsageError, match="target_threshold must be in"):
        Classify(loss="binary_cross_entropy", target_threshold=1.0)
