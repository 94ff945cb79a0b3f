"""Networks whose weights and statistics are nowhere trivial."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from resnets.models.initialize import initialize
from resnets.models.spec import Spec
from resnets.tasks.networks import build_network


def built(spec: Spec) -> Any:
    """The network of `spec`, a task's or the backbone itself, in training mode."""
    network = build_network(spec)
    initialize(network, seed=1)
    scramble(network)
    return network


def scramble(network: nn.Module) -> None:
    """Adds numbers from 0 to 0.3 to scales, shifts and statistics of norms, and to biases."""
    g = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point() and value.ndim == 1:
                value.add_(torch.rand(value.shape, generator=g) * 0.3)
