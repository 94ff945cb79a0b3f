"""SGD and AdamW one operation at a time, for devices whose fused kernels ignore `found_inf`.

The equations are those of `torch.optim`. A step whose `found_inf` is not 0 changes nothing, and the host does not wait
to read it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def sgd(
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    momenta: Sequence[Tensor | None],
    *,
    lr: float | Tensor,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    found_inf: Tensor,
) -> None:
    """Does one step of SGD, in place.

    Args:
        momenta: of each parameter, or None where `momentum` is 0.
        found_inf: a float32 scalar; if it is not 0, nothing changes.
    """
    for parameter, gradient, buffer in zip(parameters, gradients, momenta, strict=True):
        along = gradient + weight_decay * parameter
        if buffer is not None:
            moved = momentum * buffer + along
            along = along + momentum * moved if nesterov else moved
            _set_unless(found_inf, buffer, moved)
        _set_unless(found_inf, parameter, parameter - lr * along)


def adamw(
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    averages: Sequence[Tensor],
    squares: Sequence[Tensor],
    steps: Sequence[Tensor],
    *,
    lr: float | Tensor,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    found_inf: Tensor,
) -> None:
    """Does one step of AdamW, in place.

    Args:
        averages, squares: moving averages of each parameter's gradient and of its square.
        steps: how many were done so far, a float32 scalar for each parameter.
        found_inf: a float32 scalar; if it is not 0, nothing changes.
    """
    for parameter, gradient, average, square, step in zip(parameters, gradients, averages, squares, steps, strict=True):
        number = step + 1
        first = torch.lerp(average, gradient, 1 - beta1)
        second = beta2 * square + (1 - beta2) * gradient * gradient
        denominator = (second / (1 - beta2**number)).sqrt() + eps
        decayed = parameter * (1 - lr * weight_decay)
        _set_unless(found_inf, parameter, decayed - lr * (first / (1 - beta1**number)) / denominator)
        for target, value in ((average, first), (square, second), (step, number)):
            _set_unless(found_inf, target, value)


def _set_unless(found_inf: Tensor, target: Tensor, value: Tensor) -> None:
    target.copy_(torch.where(found_inf == 0, value, target))
