"""An exponential moving average of a network's weights and running statistics."""

from __future__ import annotations

import copy

import torch
from torch import nn

from resnets.core.devices import lerp_all


class EMA:
    """A moving average of a network: average = decay * average + (1 - decay) * current.

    The decay warms up as (1 + updates) / (10 + updates), so that short runs do not keep their first weights.

    Attributes:
        network: the average.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, updates: int) -> None:
        """Updates the average with `network` after `updates` optimiser steps (from 1)."""
        decay = min(self.decay, (1 + updates) / (10 + updates))
        averages, current = self.network.state_dict(), network.state_dict()
        floating = [name for name, value in averages.items() if value.is_floating_point()]
        lerp_all([averages[n] for n in floating], [current[n] for n in floating], 1 - decay)
        for name in averages.keys() - set(floating):
            averages[name].copy_(current[name])
