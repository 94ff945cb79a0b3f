"""Labels that are likely wrong, against lines of NumPy on whole probabilities."""

from __future__ import annotations

import numpy as np
import torch

from resnets.tasks.base import SampleRecords
from resnets.tasks.classification.metrics import evaluate_batch
from resnets.tasks.classification.wrong_labels import likely_wrong, suspicion


def noisy_case() -> tuple[SampleRecords, np.ndarray[tuple[int], np.dtype[np.bool_]], torch.Tensor, torch.Tensor]:
    """Logits of a fair model, labels of which a tenth are wrong, and which."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(5, (1000,), generator=generator)
    logits = torch.randn(1000, 6, generator=generator) + 4 * torch.nn.functional.one_hot(truth, 6)
    wrong = torch.rand(1000, generator=generator) < 0.1
    labels = torch.where(wrong, (truth + 1 + torch.randint(4, (1000,), generator=generator)) % 5, truth)
    records = {name: value.numpy() for name, value in evaluate_batch(logits, labels).items()}
    return records, wrong.numpy(), logits, labels


def test_suspicion_is_the_margin() -> None:
    records, _, logits, labels = noisy_case()
    probabilities, own = logits.double().softmax(1).numpy(), labels.numpy()
    rows = np.arange(len(own))
    of_label, best = probabilities[rows, own], probabilities.max(1)
    expected = np.where(probabilities.argmax(1) == own, -of_label, best - of_label)
    np.testing.assert_allclose(suspicion(records), expected, atol=1e-6)


def test_the_likely_wrong_are_those_of_confident_learning() -> None:
    records, wrong, logits, labels = noisy_case()
    probabilities, own = logits.double().softmax(1).numpy(), labels.numpy()
    thresholds = [probabilities[own == k, k].mean() if (own == k).any() else np.inf for k in range(6)]
    best = probabilities.argmax(1)
    expected = {i for i in range(1000) if best[i] != own[i] and probabilities[i, best[i]] >= thresholds[best[i]]}
    found = likely_wrong(records)
    assert set(found.tolist()) == expected
    assert (np.diff(suspicion(records)[found]) <= 0).all()
    assert wrong[found].mean() > 0.9
    assert len(found) > 0.6 * wrong.sum()


def test_nothing_is_suspicious_of_right_answers() -> None:
    labels = torch.arange(4)
    records = {k: v.numpy() for k, v in evaluate_batch(9.0 * torch.eye(4), labels).items()}
    assert len(likely_wrong(records)) == 0
    empty = {name: values[:0] for name, values in records.items()}
    assert len(likely_wrong(empty)) == 0


def test_a_temperature_changes_nothing() -> None:
    records, _, logits, labels = noisy_case()
    hot = {k: v.numpy() for k, v in evaluate_batch(logits, labels, temperature=3.0).items()}
    np.testing.assert_array_equal(likely_wrong(hot), likely_wrong(records))
