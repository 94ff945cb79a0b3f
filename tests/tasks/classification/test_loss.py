"""The loss of classification, against torch's cross-entropy."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from resnets.modalities.batch import Batch
from resnets.tasks.classification.loss import cross_entropy
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
