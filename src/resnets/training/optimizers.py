"""From a recipe's optimiser to torch's."""

from __future__ import annotations

import torch
from torch import nn

from resnets.training.recipe import SGD, AdamW


def build(choice: SGD | AdamW, network: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of `network`: two groups, the matrices and kernels that decay, and the vectors."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    vector_decay = choice.weight_decay if choice.decay_norms else 0.0
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": choice.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": vector_decay},
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
