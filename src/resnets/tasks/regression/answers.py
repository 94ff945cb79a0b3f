"""The answers of regression: a number for each sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from resnets.tasks.base import SampleRecords
from resnets.tasks.regression.metrics import predictions
from resnets.tasks.regression.settings import Regress
from resnets.tasks.restoring import number


def answers(outputs: Tensor, settings: Regress) -> list[float]:
    """The number for each sample, in the units of the target.

    Args:
        outputs: (N, 1) of the network.
    """
    found: list[float] = predictions(outputs, settings).tolist()
    return found


def answer_json(answer: float) -> dict[str, Any]:
    """The keys of a prediction of `predict --json`."""
    return {"target": answer}


def restored(data: Mapping[str, Any]) -> float:
    """The inverse of `answer_json`."""
    return number(data["target"])


def answer_lines(answer: float) -> list[str]:
    """The number, with six digits."""
    return [f"  {answer:.6g}"]


def columns(records: SampleRecords) -> dict[str, Sequence[Any]]:
    """The columns of predictions.csv: the target, with as few digits as tell float32 apart, and the prediction."""
    target = [float(str(value)) for value in records["target"].astype(np.float32)]
    return {"target": target, "predicted": records["predicted"].tolist(), "loss": records["loss"].tolist()}
