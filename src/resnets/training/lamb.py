"""LAMB's update rule: Adam's direction, as long as the layer's weights (You et al. 2020, 1904.00962)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Lamb:
    """The update rule of some parameters; those without weight decay take Adam's step, as in timm.

    A step whose `found_inf` is not 0 changes nothing, and the host does not wait to read it.
    """

    beta1: float
    beta2: float
    eps: float
    weight_decay: float

    def begin(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        return {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }

    def step(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        states: list[dict[str, Tensor]],
        lr: float | Tensor,
        found_inf: Tensor,
    ) -> None:
        kept = found_inf != 0
        for parameter, gradient, state in zip(parameters, gradients, states, strict=True):
            number = state["step"] + 1
            average = torch.lerp(state["exp_avg"], gradient, 1 - self.beta1)
            square = self.beta2 * state["exp_avg_sq"] + (1 - self.beta2) * gradient * gradient
            denominator = (square / _correction(self.beta2, number)).sqrt() + self.eps
            direction = average / _correction(self.beta1, number) / denominator
            if self.weight_decay:
                direction = direction + self.weight_decay * parameter
                length, unscaled = parameter.norm(), direction.norm()
                # Of branches whose last weights start at zero, the step is Adam's.
                direction = direction * (length / unscaled).masked_fill((length == 0) | (unscaled == 0), 1.0)
            for target, value in (
                (parameter, parameter - lr * direction),
                (state["exp_avg"], average),
                (state["exp_avg_sq"], square),
                (state["step"], number),
            ):
                target.copy_(torch.where(kept, target, value))


def _correction(beta: float, steps: Tensor) -> Tensor:
    """1 - beta ** steps, which float32 has no digits left for where `beta` is near 1 and it is computed as written."""
    return -torch.expm1(steps * math.log(beta)) if beta else torch.ones_like(steps)
