"""Muon: momentum made orthogonal (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks")."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim.sgd import sgd

# Of the quintic a x + b x^3 + c x^5: steepest at 0, so that small singular values grow fast; all end within about
# 0.7 and 1.2 of 1, not at 1, which training does not notice (Jordan et al. 2024).
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Groups of `kind` "kernels" step along orthogonal momentum, the others are torch's fused SGD with Nesterov.

    Where `found_inf` is set and not 0, a step changes nothing, as with torch's fused optimisers.

    Args:
        groups: each with "params", "lr", "momentum", "kind", "weight_decay" (of the others) and "iterations" (of
            kernels).
        dtype: in which the momentum is made orthogonal: bf16 will do where the hardware has it.
    """

    found_inf: Tensor | None = None

    def __init__(self, groups: list[dict[str, Any]], dtype: torch.dtype = torch.float32) -> None:
        super().__init__(groups, {})
        self.dtype = dtype
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step with the gradients that the parameters have."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            gradients = [p.grad for p in parameters if p.grad is not None]
            momenta = [self.state[p]["momentum_buffer"] for p in parameters]
            if not parameters:
                continue
            if group["kind"] != "kernels":
                sgd(
                    parameters, gradients, momenta,
                    fused=True, found_inf=self.found_inf, lr=group["lr"], momentum=group["momentum"],
                    weight_decay=group["weight_decay"], dampening=0.0, nesterov=True, maximize=False,
                )  # fmt: skip
                continue
            for parameter, gradient, momentum in zip(parameters, gradients, momenta, strict=True):
                new = momentum * group["momentum"] + gradient
                along = orthogonal((gradient + group["momentum"] * new).to(self.dtype), group["iterations"])
                scaled = parameter * (len(parameter) ** 0.5 / parameter.norm())
                moved = scaled - group["lr"] * along.to(parameter.dtype)
                self._put(parameter, moved)
                self._put(momentum, new)

    def _put(self, place: Tensor, value: Tensor) -> None:
        if self.found_inf is None:
            place.copy_(value)
        else:
            torch.where(self.found_inf == 0, value, place, out=place)


def orthogonal(kernel: Tensor, iterations: int) -> Tensor:
    """`kernel`, (outputs, ...) seen as a matrix, with its singular vectors, and its singular values brought near 1.

    Each of the `iterations` enlarges small singular values about 3.4 times; those below 3.4 to the power of minus
    `iterations` of the matrix's norm stay small.
    """
    a, b, c = COEFFICIENTS
    matrix = kernel.flatten(1)
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    result: Tensor = (x if wide else x.T).reshape(kernel.shape)
    return result
