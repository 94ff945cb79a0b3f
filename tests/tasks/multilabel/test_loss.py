"""The loss of multi-label classification, against torch's binary cross-entropy of one number at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from resnets.tasks.multilabel.loss import binary_cross_entropy
from tests.tasks.multilabel.cases import batch_of, random_case


def of_probabilities(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean over classes of -y log p - (1 - y) log (1 - p), in float64."""
    p, y = torch.sigmoid(logits.double()), labels.double()
    return -(y * p.log() + (1 - y) * (1 - p).log()).mean(1)


def test_the_loss_is_the_mean_over_the_classes_for_each_sample() -> None:
    logits, labels = random_case()
    found = binary_cross_entropy(logits, batch_of(labels))
    assert found.shape == (len(labels),)
    torch.testing.assert_close(found, of_probabilities(logits, labels).float())


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_smoothing_moves_labels_towards_a_half(smoothing: float) -> None:
    logits, labels = random_case()
    soft = torch.where(labels == 1, 1 - smoothing / 2, smoothing / 2)
    found = binary_cross_entropy(logits, batch_of(labels), smoothing)
    torch.testing.assert_close(found, of_probabilities(logits, soft).float())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_mixed_sample_has_the_mixed_loss_of_the_two(smoothing: float) -> None:
    logits, labels = random_case()
    partners = labels.roll(1, 0)
    lam = torch.rand(len(labels), generator=torch.Generator().manual_seed(1))
    found = binary_cross_entropy(logits, batch_of(labels, partner_labels=partners, lam=lam), smoothing)
    own, other = (binary_cross_entropy(logits, batch_of(each), smoothing) for each in (labels, partners))
    torch.testing.assert_close(found, lam * own + (1 - lam) * other)


def test_half_precision_is_computed_in_float32() -> None:
    logits, labels = random_case()
    found = binary_cross_entropy(logits.bfloat16(), batch_of(labels))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, binary_cross_entropy(logits.bfloat16().float(), batch_of(labels)))


def test_the_gradient_is_the_difference_of_probability_and_label() -> None:
    logits, labels = random_case()
    logits.requires_grad_()
    binary_cross_entropy(logits, batch_of(labels)).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, (torch.sigmoid(logits.detach()) - labels) / labels.shape[1])
