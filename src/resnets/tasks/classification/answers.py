"""The answers of a classifier: for each sample the most probable classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from resnets.core.console import printable

Ranking = list[tuple[str, float]]  # classes with their probabilities, the most probable first


def rankings(logits: Tensor, classes: tuple[str, ...], top: int) -> list[Ranking]:
    """The `top` most probable classes of each sample.

    Args:
        logits: (N, classes).
    """
    values, indices = torch.softmax(logits.float(), 1).cpu().topk(min(top, len(classes)))
    return [
        [(classes[i], v) for i, v in zip(*row, strict=True)]
        for row in zip(indices.tolist(), values.tolist(), strict=True)
    ]


def as_json(ranking: Ranking) -> dict[str, Any]:
    """The keys of a prediction."""
    return {"classes": [{"name": name, "probability": probability} for name, probability in ranking]}


def lines(ranking: Ranking) -> list[str]:
    """A line for each class."""
    return [f"  {probability:7.2%}  {printable(name)}" for name, probability in ranking]
