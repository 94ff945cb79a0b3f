"""The answers of a classifier: for each sample the most probable classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from resnets.core.console import printable
from resnets.tasks.classification.metrics import probabilities
from resnets.tasks.restoring import class_name, number

Ranking = list[tuple[str, float]]  # classes with their probabilities, the most probable first


def rankings(logits: Tensor, classes: tuple[str, ...], top: int, temperature: float | None = None) -> list[Ranking]:
    """The `top` most probable classes of each sample.

    Args:
        logits: (N, classes).
        temperature: by which they are divided.
    """
    values, indices = probabilities(logits, temperature).cpu().topk(min(top, len(classes)))
    return [
        [(classes[i], v) for i, v in zip(*row, strict=True)]
        for row in zip(indices.tolist(), values.tolist(), strict=True)
    ]


def as_json(ranking: Ranking, unknown_below: float | None = None) -> dict[str, Any]:
    """The keys of a prediction; "unknown" where there is a threshold."""
    unknown = {} if unknown_below is None else {"unknown": is_unknown(ranking, unknown_below)}
    return {"classes": [{"name": name, "probability": probability} for name, probability in ranking], **unknown}


def restored(data: Mapping[str, Any], classes: tuple[str, ...]) -> Ranking:
    """The inverse of `as_json`."""
    return [(class_name(each["name"], classes), number(each["probability"])) for each in data["classes"]]


def lines(ranking: Ranking, unknown_below: float | None = None) -> list[str]:
    """A line for each class, below one that says so where the answer is unknown."""
    unknown = unknown_below is not None and is_unknown(ranking, unknown_below)
    said = [f"  unknown  (no class has {unknown_below:.2%})"] if unknown else []
    return said + [f"  {probability:7.2%}  {printable(name)}" for name, probability in ranking]


def is_unknown(ranking: Ranking, unknown_below: float) -> bool:
    """Whether the most probable class has a probability below a threshold, or none (NaN)."""
    return not ranking[0][1] >= unknown_below
