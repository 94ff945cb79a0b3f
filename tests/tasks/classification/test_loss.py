"""The loss of classification, against torch's cross-entropy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import timm.data.mixup
import timm.loss.binary_cross_entropy
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.core.errors import UsageError
from resnets.modalities.batch import Batch
from resnets.tasks.classification.loss import (
    binary_cross_entropy,
    cross_entropy,
    loss_for_wrong_labels,
)
from resnets.tasks.classification.settings import Classify, GeneralizedCrossEntropy, SymmetricCrossEntropy
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


LOSSES_FOR_WRONG_LABELS = [
    GeneralizedCrossEntropy(),
    GeneralizedCrossEntropy(q=1.0),
    SymmetricCrossEntropy(),
    SymmetricCrossEntropy(alpha=6.0, beta=0.1, log_of_zero=-6.0),
]


def by_numpy(
    logits: Tensor, label: int, settings: GeneralizedCrossEntropy | SymmetricCrossEntropy, smoothing: float = 0.0
) -> float:
    """The loss of one sample by the equations of the papers, in float64."""

    def of_class(probabilities: np.ndarray, k: int) -> float:
        if isinstance(settings, GeneralizedCrossEntropy):
            return float((1 - probabilities[k] ** settings.q) / settings.q)
        one_hot = np.eye(len(probabilities))[k]
        logs = np.where(one_hot > 0, 0.0, settings.log_of_zero)
        return float(settings.alpha * -np.log(probabilities[k]) - settings.beta * (probabilities * logs).sum())

    probabilities = scipy.special.softmax(logits.double().numpy())
    each = [of_class(probabilities, k) for k in range(len(probabilities))]
    return (1 - smoothing) * each[label] + smoothing * float(np.mean(each))


@pytest.mark.parametrize("settings", LOSSES_FOR_WRONG_LABELS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_losses_for_wrong_labels_are_the_equations_of_their_papers(
    settings: GeneralizedCrossEntropy | SymmetricCrossEntropy, smoothing: float
) -> None:
    logits, labels = random_case()
    expected = [by_numpy(x, int(y), settings, smoothing) for x, y in zip(logits, labels, strict=True)]
    found = loss_for_wrong_labels(logits, Batch({"labels": labels}), settings, smoothing)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-6)

    partners, lam = labels.roll(1), torch.rand(len(labels), generator=torch.Generator().manual_seed(0))
    of_partners = [by_numpy(x, int(y), settings, smoothing) for x, y in zip(logits, partners, strict=True)]
    weights = tuple(float(each) for each in range(1, logits.shape[1] + 1))
    batch = Batch({"labels": labels, "partner_labels": partners, "lam": lam})
    mixed = [
        float(part) * own * weights[y] + (1 - float(part)) * other * weights[z]
        for part, own, other, y, z in zip(lam, expected, of_partners, labels, partners, strict=True)
    ]
    found = loss_for_wrong_labels(logits, batch, settings, smoothing, weights)
    torch.testing.assert_close(found.double(), torch.tensor(mixed, dtype=torch.float64), rtol=1e-5, atol=1e-6)


def test_losses_for_wrong_labels_near_cross_entropy_are_cross_entropy() -> None:
    logits, labels = random_case()
    expected = F.cross_entropy(logits, labels, reduction="none")
    batch = Batch({"labels": labels})
    near = loss_for_wrong_labels(logits, batch, GeneralizedCrossEntropy(q=1e-6))
    torch.testing.assert_close(near, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        loss_for_wrong_labels(logits, batch, SymmetricCrossEntropy(alpha=1.0, beta=0.0)), expected
    )


@pytest.mark.parametrize("settings", LOSSES_FOR_WRONG_LABELS)
def test_losses_for_wrong_labels_are_finite_where_the_label_is_impossible(
    settings: GeneralizedCrossEntropy | SymmetricCrossEntropy,
) -> None:
    logits = torch.tensor([[300.0, -300.0], [-300.0, 300.0]], requires_grad=True)
    loss_for_wrong_labels(logits, Batch({"labels": torch.tensor([1, 1])}), settings).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("settings", LOSSES_FOR_WRONG_LABELS)
def test_the_task_trains_with_the_loss_of_its_settings(
    settings: GeneralizedCrossEntropy | SymmetricCrossEntropy,
) -> None:
    logits, labels = random_case()
    weights = tuple(float(each) for each in range(1, logits.shape[1] + 1))
    task = Classification(settings=Classify(loss=settings), label_smoothing=0.1, class_weights=weights)
    batch = Batch({"inputs": logits, "labels": labels})
    found = task.loss(lambda inputs: inputs, batch)["loss"]
    torch.testing.assert_close(found, loss_for_wrong_labels(logits, batch, settings, 0.1, weights))
    assert task.fitted({}).loss == "cross_entropy"


def test_settings_of_losses_for_wrong_labels_are_within_range() -> None:
    for wrong in (0.0, 1.5, -1.0):
        with pytest.raises(UsageError, match="q must be in"):
            GeneralizedCrossEntropy(q=wrong)
    for alpha, beta in ((-1.0, 1.0), (1.0, -1.0), (0.0, 0.0)):
        with pytest.raises(UsageError, match="alpha and beta must be"):
            SymmetricCrossEntropy(alpha=alpha, beta=beta)
    with pytest.raises(UsageError, match="log_of_zero must be below 0"):
        SymmetricCrossEntropy(log_of_zero=0.0)
