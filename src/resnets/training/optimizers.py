"""From a recipe's optimiser to torch's."""

from __future__ import annotations

import torch
from torch import nn

from resnets.training import muon
from resnets.training.recipe import SGD, AdamW, Muon


def build(choice: SGD | AdamW | Muon, network: nn.Module, precision: str = "fp32") -> torch.optim.Optimizer:
    """The optimiser of `network`.

    Each of its groups has "relative_lr", its rate as a share of the recipe's.

    Args:
        precision: of the training steps.
    """
    if isinstance(choice, Muon):
        return _muon(choice, network, torch.bfloat16 if precision == "bf16" else torch.float32)
    parameters = [p for p in network.parameters() if p.requires_grad]
    kernels, vectors = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
    groups = [
        {"params": kernels, "weight_decay": choice.weight_decay, "relative_lr": 1.0},
        {"params": vectors, "weight_decay": choice.weight_decay if choice.decay_norms else 0.0, "relative_lr": 1.0},
    ]
    if isinstance(choice, AdamW):
        betas = (choice.beta1, choice.beta2)
        return torch.optim.AdamW(groups, lr=choice.lr, betas=betas, eps=choice.eps, fused=True)
    optimizer = torch.optim.SGD(groups, lr=choice.lr, momentum=choice.momentum, nesterov=choice.nesterov, fused=True)
    if choice.momentum:
        for parameter in parameters:
            # Where its first step is left out for a bad gradient, torch would go on with memory that nobody set.
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def _muon(choice: Muon, network: nn.Module, dtype: torch.dtype) -> torch.optim.Optimizer:
    def plain(parameters: list[nn.Parameter], lr: float) -> dict[str, object]:
        return {
            "params": parameters, "kind": "other", "lr": lr, "relative_lr": lr / choice.lr,
            "momentum": choice.vector_momentum, "weight_decay": choice.decay / lr,
        }  # fmt: skip

    linear = {id(p) for module in network.modules() if isinstance(module, nn.Linear) for p in module.parameters()}
    learnt = [p for p in network.parameters() if p.requires_grad]
    others = [p for p in learnt if id(p) not in linear]
    kernels = {
        "params": [p for p in others if p.ndim > 1], "kind": "kernels", "lr": choice.lr, "relative_lr": 1.0,
        "momentum": choice.momentum, "iterations": choice.iterations,
    }  # fmt: skip
    classifier = plain([p for p in learnt if id(p) in linear], choice.classifier_lr)
    return muon.Muon([kernels, classifier, plain([p for p in others if p.ndim <= 1], choice.vector_lr)], dtype)
