"""Muon: momentum made orthogonal (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks")."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Of the quintic a x + b x^3 + c x^5: steepest at 0, so that small singular values grow fast. All end between about
# 0.7 and 1.2, not at 1, which does not harm training (Jordan et al. 2024).
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
# Iterations that share one Gram matrix. Its rounding to bf16 is harmless in the first, where its trace is 1; it would
# grow in later ones.
ON_GRAM = 3


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
            new = torch.add(gradient, momentum, alpha=self.momentum)
            nesterov = torch.add(gradient, new, alpha=self.momentum)
            along = orthogonal(nesterov.to(self.dtype), self.iterations).to(parameter.dtype)
            norm = parameter.norm()
            kept = (len(parameter) ** 0.5 / norm).masked_fill(
                norm == 0, 1.0
            )  # of branches whose last weights start at zero
            moved = (parameter * kept).sub_(along.mul_(lr))
            torch.where(found_inf == 0, moved, parameter, out=parameter)
            torch.where(found_inf == 0, new, momentum, out=momentum)


def orthogonal(kernel: Tensor, iterations: int) -> Tensor:
    """Returns `kernel`, (outputs, ...) as a matrix, with its own singular vectors and singular values near 1.

    Each of the `iterations` multiplies small singular values by about 3.4; those below 3.4^-`iterations` of the
    matrix's norm stay small.
    """
    last = kernel.movedim(1, -1)  # a matrix without a copy in channels last; the order of columns does not matter
    matrix = last.flatten(1)
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / (x.norm() + 1e-7)
    for count in (min(iterations, ON_GRAM), *[1] * (iterations - ON_GRAM)):
        x = _steps(x @ x.T, count) @ x
    result: Tensor = (x if wide else x.T).reshape(last.shape).movedim(-1, 1)
    return result


def _steps(gram: Tensor, count: int) -> Tensor:
    """The product of the matrices from the left that `count` iterations are, of a matrix whose Gram matrix is `gram`.

    All are polynomials in it, so that the small square matrices take the place of the whole in between.
    """
    a, b, c = COEFFICIENTS
    step = torch.addmm(gram, gram, gram, beta=b, alpha=c)  # less a times the identity, which would round it
    product = step.clone()
    product.diagonal().add_(a)
    for _ in range(count - 1):
        half = torch.addmm(gram, step, gram, beta=a)
        gram = torch.addmm(half, half, step, beta=a)
        step = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        product = torch.addmm(product, step, product, beta=a)
    return product
