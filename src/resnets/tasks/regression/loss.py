"""The losses of regression: squared error and Huber's, of standardised targets."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.modalities.batch import Batch
from resnets.tasks.regression.settings import Regress


def standardized(target: Tensor, settings: Regress) -> Tensor:
    """`target` in standard deviations from the mean, float32; as it is where `settings` have neither."""
    mean, std = settings.mean or 0.0, settings.std or 1.0
    return (target.float() - mean) / std


def regression_loss(outputs: Tensor, target: Tensor, settings: Regress) -> Tensor:
    """The loss of each sample, in squared standard deviations, computed in float32.

    Args:
        outputs: (N, 1) of the network.
        target: (N,) standardised.

    Returns:
        (N,) float32.
    """
    outputs = outputs.float()[:, 0]
    if settings.loss == "mse":
        return F.mse_loss(outputs, target, reduction="none")
    return F.huber_loss(outputs, target, reduction="none", delta=settings.delta)


def of_batch(outputs: Tensor, batch: Batch, settings: Regress) -> Tensor:
    """`regression_loss` of a training batch.

    A sample mixed of two has the target `lam * target + (1 - lam) * partner_target` (mixup: Zhang et al. 2018,
    1710.09412, equation 1).

    Args:
        batch: "target", (N,); of mixed samples also "partner_target", (N,), and "lam", (N,) float32 in [0, 1].
    """
    target = standardized(batch["target"], settings)
    if "lam" in batch:
        target = torch.lerp(standardized(batch["partner_target"], settings), target, batch["lam"])
    return regression_loss(outputs, target, settings)
