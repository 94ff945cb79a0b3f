"""Labels and logits for the tests of multi-label classification."""

from __future__ import annotations

import torch
from torch import Tensor

from resnets.modalities.batch import Batch
from resnets.tasks.base import SampleRecords
from resnets.tasks.multilabel.metrics import evaluate_batch


def random_case(classes: int = 6, samples: int = 300, *, ties: bool = False) -> tuple[Tensor, Tensor]:
    """Logits (N, classes), some of them equal with `ties`, and labels; the last class has no positive sample."""
    generator = torch.Generator().manual_seed(classes)
    labels = torch.rand(samples, classes, generator=generator) < torch.linspace(0.6, 0.05, classes)
    labels[:, -1] = False
    logits = 2 * torch.randn(samples, classes, generator=generator) + 1.5 * labels - 1
    return (logits.round() if ties else logits), labels.to(torch.uint8)


def batch_of(labels: Tensor, **more: Tensor) -> Batch:
    return Batch({"inputs": torch.zeros(len(labels), 1), "labels": labels, **more})


def recorded(logits: Tensor, labels: Tensor) -> SampleRecords:
    return {name: value.numpy() for name, value in evaluate_batch(logits, labels).items()}
