"""Optimisers: from a recipe's settings to torch's kernels.

An `Optimizer` has groups of parameters, each with an update rule. The rules call the functions beneath torch's
optimisers, since instances of torch's classes import its compiler, which takes a second of every start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from resnets.core.devices import abilities
from resnets.models.parameter_groups import ParameterGroups
from resnets.training import unfused_optimizers
from resnets.training.lamb import Lamb
from resnets.training.muon import Orthogonal
from resnets.training.recipe import LAMB, SGD, AdamW, Muon

State = dict[str, Tensor]
Rate = float | Tensor  # in a CUDA graph a float32 scalar


class Rule(Protocol):
    """How parameters are updated."""

    def begin(self, parameter: nn.Parameter) -> State:
        """Returns the state of `parameter` before its first step."""
        ...

    def step(
        self, parameters: list[Tensor], gradients: list[Tensor], states: list[State], lr: Rate, found_inf: Tensor
    ) -> None:
        """Does one step, in place.

        Args:
            found_inf: a float32 scalar; if it is not 0, nothing changes.
        """
        ...


@dataclass(frozen=True)
class Momentum:
    """SGD: torch's fused kernel if the device's respects `found_inf`, else `unfused_optimizers`."""

    momentum: float
    nesterov: bool
    weight_decay: float

    def begin(self, parameter: nn.Parameter) -> State:
        return {"momentum_buffer": torch.zeros_like(parameter)} if self.momentum else {}

    def step(
        self, parameters: list[Tensor], gradients: list[Tensor], states: list[State], lr: Rate, found_inf: Tensor
    ) -> None:
        momenta = [state.get("momentum_buffer") for state in states]
        if not abilities(found_inf.device).guarded_optimizers:
            unfused_optimizers.sgd(
                parameters, gradients, momenta, lr=lr, momentum=self.momentum, nesterov=self.nesterov,
                weight_decay=self.weight_decay, found_inf=found_inf,
            )  # fmt: skip
            return
        sgd(
            parameters, gradients, momenta,
            fused=True, found_inf=found_inf, lr=lr, momentum=self.momentum, nesterov=self.nesterov,  # type: ignore[arg-type]
            weight_decay=self.weight_decay, dampening=0.0, maximize=False,
        )  # fmt: skip


@dataclass(frozen=True)
class Adam:
    """AdamW: torch's fused kernel if the device's respects `found_inf`, else `unfused_optimizers`."""

    beta1: float
    beta2: float
    eps: float
    weight_decay: float

    def begin(self, parameter: nn.Parameter) -> State:
        return {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }

    def step(
        self, parameters: list[Tensor], gradients: list[Tensor], states: list[State], lr: Rate, found_inf: Tensor
    ) -> None:
        averages, squares, steps = ([state[key] for state in states] for key in ("exp_avg", "exp_avg_sq", "step"))
        if not abilities(found_inf.device).guarded_optimizers:
            unfused_optimizers.adamw(
                parameters, gradients, averages, squares, steps, lr=lr, beta1=self.beta1, beta2=self.beta2,
                eps=self.eps, weight_decay=self.weight_decay, found_inf=found_inf,
            )  # fmt: skip
            return
        adamw(
            parameters, gradients, averages, squares, [], steps,
            fused=True, found_inf=found_inf, lr=lr, beta1=self.beta1, beta2=self.beta2, eps=self.eps,
            weight_decay=self.weight_decay, amsgrad=False, maximize=False,
        )  # fmt: skip


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that are updated by one rule.

    Args:
        relative_lr: their learning rate over the recipe's.
    """

    parameters: Sequence[nn.Parameter]
    rule: Rule
    relative_lr: float = 1.0


class Optimizer:
    """Updates the parameters of its groups, each by its rule.

    Attributes:
        state: of each parameter, such as its momentum, by name.
    """

    def __init__(self, groups: Sequence[ParameterGroup]) -> None:
        self.groups = groups
        self.state: dict[nn.Parameter, State] = {p: g.rule.begin(p) for g in groups for p in g.parameters}

    def zero_grad(self) -> None:
        """Removes all gradients."""
        for parameter in self.state:
            parameter.grad = None

    @torch.no_grad()
    def step(self, lr: Rate, found_inf: Tensor) -> None:
        """Does one step with the gradients that the parameters have.

        Args:
            lr: the recipe's learning rate at this step.
            found_inf: a float32 scalar; if it is not 0, nothing changes.
        """
        for group in self.groups:
            updated = [(p, p.grad, self.state[p]) for p in group.parameters if p.grad is not None]
            if updated:
                parameters, gradients, states = map(list, zip(*updated, strict=True))
                group.rule.step(parameters, gradients, states, lr * group.relative_lr, found_inf)


def build(
    choice: SGD | AdamW | Muon | LAMB, network: nn.Module, precision: str = "fp32", *, layer_decay: float = 1.0
) -> Optimizer:
    """Returns the optimiser of `network`.

    Args:
        precision: of the training steps.
        layer_decay: see `ParameterGroups.parameter_groups`; 1 where the optimiser is Muon, or the network has none.
    """
    trainable = [p for p in network.parameters() if p.requires_grad]
    if isinstance(choice, Muon):
        linear = {p for module in network.modules() if isinstance(module, nn.Linear) for p in module.parameters()}
        return _muon(choice, trainable, linear, torch.bfloat16 if precision == "bf16" else torch.float32)

    def rule(decay: float) -> Rule:
        if isinstance(choice, AdamW):
            return Adam(choice.beta1, choice.beta2, choice.eps, decay)
        if isinstance(choice, LAMB):
            return Lamb(choice.beta1, choice.beta2, choice.eps, decay)
        return Momentum(choice.momentum, choice.nesterov, decay)

    if layer_decay != 1:
        assert isinstance(network, ParameterGroups)
        groups = network.parameter_groups(
            weight_decay=choice.weight_decay, layer_decay=layer_decay, decay_norms_and_biases=choice.decay_norms
        )
        return Optimizer([ParameterGroup(g["params"], rule(g["weight_decay"]), g["lr_scale"]) for g in groups])
    kernels, vectors = [p for p in trainable if p.ndim > 1], [p for p in trainable if p.ndim <= 1]
    decay = choice.weight_decay
    return Optimizer(
        [ParameterGroup(kernels, rule(decay)), ParameterGroup(vectors, rule(decay if choice.decay_norms else 0.0))]
    )


def _muon(choice: Muon, trainable: list[nn.Parameter], linear: set[nn.Parameter], dtype: torch.dtype) -> Optimizer:
    def plain(parameters: list[nn.Parameter], lr: float) -> ParameterGroup:
        rule = Momentum(choice.vector_momentum, nesterov=True, weight_decay=choice.decay / lr)
        return ParameterGroup(parameters, rule, lr / choice.lr)

    others = [p for p in trainable if p not in linear]
    return Optimizer(
        [
            ParameterGroup([p for p in others if p.ndim > 1], Orthogonal(choice.momentum, choice.iterations, dtype)),
            plain([p for p in trainable if p in linear], choice.classifier_lr),
            plain([p for p in others if p.ndim <= 1], choice.vector_lr),
        ]
    )
