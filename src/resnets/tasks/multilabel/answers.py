"""The answers of multi-label classification: every class with its probability, and whether it is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from resnets.core.console import printable
from resnets.core.files import to_json
from resnets.tasks.base import SampleRecords
from resnets.tasks.multilabel.metrics import probabilities
from resnets.tasks.multilabel.settings import THRESHOLD
from resnets.tasks.restoring import class_name, number

SHOWN = 5  # most probable classes of an answer without a chosen one


@dataclass(frozen=True)
class ClassAnswer:
    """One class of the answer to a sample.

    Args:
        probability: from 0 to 1.
        chosen: whether it reaches the threshold of the class.
    """

    name: str
    probability: float
    chosen: bool


def answers(
    logits: Tensor, classes: tuple[str, ...], thresholds: Sequence[float] | None = None
) -> list[list[ClassAnswer]]:
    """For each sample all classes, the most probable first; of equal ones, in the order of the model.

    Args:
        logits: (N, classes).
        thresholds: for each class, the lowest probability at which it is chosen; None is 0.5 each.
    """
    used = [THRESHOLD] * len(classes) if thresholds is None else thresholds
    found = [
        [ClassAnswer(name, p, p >= threshold) for name, p, threshold in zip(classes, row, used, strict=True)]
        for row in probabilities(logits).tolist()
    ]
    return [sorted(each, key=lambda answer: -answer.probability) for each in found]


def answer_json(answer: Sequence[ClassAnswer]) -> dict[str, Any]:
    """The keys of a prediction of `predict --json`."""
    return {"classes": [{"name": each.name, "probability": each.probability, "chosen": each.chosen} for each in answer]}


def restored(data: Mapping[str, Any], classes: tuple[str, ...]) -> list[ClassAnswer]:
    """The inverse of `answer_json`."""
    return [
        ClassAnswer(class_name(each["name"], classes), number(each["probability"]), bool(each["chosen"]))
        for each in data["classes"]
    ]


def answer_lines(answer: Sequence[ClassAnswer]) -> list[str]:
    """The chosen classes with their probabilities; without one, the most probable."""
    chosen = [each for each in answer if each.chosen]
    lines = [f"  {each.probability:7.2%}  {printable(each.name)}" for each in chosen or answer[:SHOWN]]
    return lines if chosen else ["  no class; the most probable:", *lines]


def columns(records: SampleRecords, classes: tuple[str, ...], used: Sequence[float]) -> dict[str, Sequence[Any]]:
    """The columns of predictions.csv: true and predicted classes, the loss, and the probability of each class.

    Args:
        used: the threshold of each class.
    """
    names = records["labels"].astype(bool), records["probability"] >= used
    found: dict[str, Sequence[Any]] = {
        title: [join([classes[k] for k in row.nonzero()[0]]) for row in rows]
        for title, rows in zip(("labels", "predicted"), names, strict=True)
    }
    found["loss"] = records["loss"].tolist()
    for k, name in enumerate(classes):
        found[f"probability {name}"] = records["probability"][:, k].tolist()
    return found


def join(names: Sequence[str]) -> str:
    """Names as the column `labels` of a table takes them: with `;` between, or a JSON list where a name has one."""
    plain = not any(";" in name or name != name.strip() or name.startswith("[") for name in names)
    return ";".join(names) if plain else to_json(list(names))
