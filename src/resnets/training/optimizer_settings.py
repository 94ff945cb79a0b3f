"""Settings of optimisers, as frozen data, read without torch; `optimizers.build` makes the optimiser."""

from __future__ import annotations

from dataclasses import dataclass

from resnets.core.errors import UsageError
from resnets.core.typed import checked


@dataclass(frozen=True, kw_only=True)
@checked
class SGD:
    """Stochastic gradient descent; weight decay is added to the gradient.

    Args:
        decay_norms: whether norms' scales and shifts and all biases decay too, as in the paper.
    """

    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    decay_norms: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1 or self.weight_decay < 0 or (self.nesterov and not self.momentum):
            raise UsageError("SGD needs momentum in [0, 1) (above 0 for nesterov) and weight_decay of 0 or more.")


@dataclass(frozen=True, kw_only=True)
@checked
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, 1711.05101)."""

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.05
    decay_norms: bool = False

    def __post_init__(self) -> None:
        _check_adam(self)


@dataclass(frozen=True, kw_only=True)
@checked
class LAMB:
    """Adam whose step in each layer is as long as the layer's weights (You et al. 2020, 1904.00962, algorithm 2).

    It is the form of timm's `Lamb`: weight decay is added to the direction of Adam before its length is set, and
    parameters without weight decay take Adam's step. timm's also clips the whole gradient at 1: that is `clip_norm=1`
    of the recipe.
    """

    lr: float = 5e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-6
    weight_decay: float = 0.01
    decay_norms: bool = False

    def __post_init__(self) -> None:
        _check_adam(self)


def _check_adam(s: AdamW | LAMB) -> None:
    if not (0 <= s.beta1 < 1 and 0 <= s.beta2 < 1 and s.eps > 0 and s.weight_decay >= 0):
        name = type(s).__name__
        raise UsageError(f"{name} needs beta1 and beta2 in [0, 1), eps above 0 and weight_decay of 0 or more.")


@dataclass(frozen=True, kw_only=True)
@checked
class Muon:
    """Muon for convolutions, SGD with Nesterov momentum for everything else (Jordan et al. 2024; cifar10-airbench).

    A convolution's kernel, as a matrix of its outputs by the rest, steps along its momentum made orthogonal. It is kept
    at a Frobenius norm of the square root of its outputs, so it needs no weight decay.

    Args:
        lr: of convolutions.
        momentum: of convolutions.
        iterations: of Newton and Schulz, which make the momentum nearly orthogonal.
        classifier_lr, vector_lr: of the classifier, and of norms' scales and shifts and other biases; each follows the
            schedule as `lr` does.
        vector_momentum: of both.
        decay: share that both lose in a step at the full learning rate. It is added to the gradient, so momentum adds
            to it.
    """

    lr: float = 0.24
    momentum: float = 0.6
    iterations: int = 3
    classifier_lr: float = 0.02
    vector_lr: float = 0.1
    vector_momentum: float = 0.85
    decay: float = 0.0

    def __post_init__(self) -> None:
        rates = (self.lr, self.classifier_lr, self.vector_lr)
        if not (all(rate > 0 for rate in rates) and 0 <= self.decay < 1 and 1 <= self.iterations <= 100):
            raise UsageError("Muon needs rates above 0, decay in [0, 1) and from 1 to 100 iterations.")
        if not (0 < self.momentum < 1 and 0 < self.vector_momentum < 1):
            raise UsageError("Muon needs momentum and vector_momentum between 0 and 1.")
