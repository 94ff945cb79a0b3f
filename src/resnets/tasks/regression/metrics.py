"""The records and metrics of regression."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from resnets.core.devices import float64_device
from resnets.tasks.base import SampleRecords
from resnets.tasks.regression.loss import regression_loss, standardized
from resnets.tasks.regression.settings import Regress


def predictions(outputs: Tensor, settings: Regress) -> Tensor:
    """(N,) float64: the outputs (N, 1) of a network in the units of the target."""
    exact = outputs.to(float64_device(outputs.device)).double()[:, 0]
    return exact * (settings.std or 1.0) + (settings.mean or 0.0)


def evaluate_batch(outputs: Tensor, target: Tensor, settings: Regress) -> dict[str, Tensor]:
    """The records of each sample of a batch, (N,) each.

    Args:
        outputs: (N, 1) of the network.
        target: (N,)

    Returns:
        "target", "predicted" (float64, in the units of the target) and "loss" (float32).
    """
    loss = regression_loss(outputs, standardized(target, settings), settings)
    return {"target": target, "predicted": predictions(outputs, settings), "loss": loss}


def metrics(records: SampleRecords) -> dict[str, Any]:
    """The figures over all samples, ready for JSON.

    Args:
        records: of `evaluate_batch`.

    Returns:
        "mae" (mean absolute error) and "rmse" (root of the mean squared error) in the units of the target, "r2" (the
        coefficient of determination, at most 1; None where the target is the same everywhere), "loss" (mean) and
        "samples".
    """
    target = records["target"].astype(np.float64)
    error = records["predicted"] - target
    squares, total = float((error**2).sum()), float(((target - target.mean()) ** 2).sum())
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "r2": 1 - squares / total if total > 0 else None,
        "loss": float(records["loss"].astype(np.float64).mean()),
        "samples": len(target),
    }
