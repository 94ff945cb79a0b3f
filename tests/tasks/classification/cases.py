"""Labels and logits for the tests of classification."""

from __future__ import annotations

import torch
from torch import Tensor


def random_case(classes: int = 7, samples: int = 400) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(classes)
    labels = torch.randint(classes - 1, (samples,), generator=generator)  # the last class has no samples
    logits = torch.randn(samples, classes, generator=generator)
    logits[torch.arange(samples), labels] += 1
    logits[:, 0] -= 9 * (classes > 2)  # and the first is hardly ever predicted
    return logits, labels
