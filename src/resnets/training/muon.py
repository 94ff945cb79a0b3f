"""Muon: momentum made orthogonal (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks")."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Of the quintic a x + b x^3 + c x^5: steepest at 0, so that small singular values grow fast. All end between about
# 0.7 and 1.2, not at 1, which does not harm training (Jordan et al. 2024).
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


@dataclass(frozen=True)
class Orthogonal:
    """The update rule of convolutions: a step along the orthogonal momentum.

    Args:
        iterations: of Newton and Schulz.
        dtype: in which the momentum is made orthogonal; bf16 suffices on hardware that has it.
    """

    momentum: float
    iterations: int
    dtype: torch.dtype = torch.float32

    def begin(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        return {"momentum_buffer": torch.zeros_like(parameter)}

    def step(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        states: list[dict[str, Tensor]],
        lr: float | Tensor,
        found_inf: Tensor,
    ) -> None:
        for parameter, gradient, state in zip(parameters, gradients, states, strict=True):
            momentum = state["momentum_buffer"]
            new = momentum * self.momentum + gradient
            along = orthogonal((gradient + self.momentum * new).to(self.dtype), self.iterations)
            norm = parameter.norm()
            kept = (len(parameter) ** 0.5 / norm).masked_fill(
                norm == 0, 1.0
            )  # of branches whose last weights start at zero
            moved = parameter * kept - lr * along.to(parameter.dtype)
            torch.where(found_inf == 0, moved, parameter, out=parameter)
            torch.where(found_inf == 0, new, momentum, out=momentum)


def orthogonal(kernel: Tensor, iterations: int) -> Tensor:
    """Returns `kernel`, (outputs, ...) as a matrix, with its own singular vectors and singular values near 1.

    Each of the `iterations` multiplies small singular values by about 3.4; those below 3.4^-`iterations` of the
    matrix's norm stay small.
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
