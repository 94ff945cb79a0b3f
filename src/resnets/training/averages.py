"""Averages of a network's weights and running statistics, which are evaluated and saved in place of its own.

`EMA` is an exponential moving average over the steps; `WiSEFT` lies between the weights that a run begins with and
those that it has (Wortsman et al. 2022, 2109.01903), and is computed when it is asked for.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from resnets.core.devices import lerp_all
from resnets.training.recipe import Recipe


class Average(ABC):
    """An average of a network.

    Attributes:
        kept: what a later average depends on, and a checkpoint holds.
    """

    kept: nn.Module

    @property
    @abstractmethod
    def network(self) -> nn.Module:
        """The average, between two steps."""

    def begin(self, network: nn.Module) -> None:
        """Begins anew with `network`, whose weights were set before the first step."""
        self.restore(network.state_dict(), network)

    @abstractmethod
    def restore(self, kept: Mapping[str, Tensor], network: nn.Module) -> None:
        """Restores what `kept` had in it when `network` was as it is."""

    @abstractmethod
    def update(self, network: nn.Module, updates: int) -> None:
        """Updates the average with `network` after `updates` optimiser steps (from 1)."""


class EMA(Average):
    """A moving average of a network: average = decay * average + (1 - decay) * current.

    The decay warms up as (1 + updates) / (10 + updates), so that short runs do not keep their first weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.kept = _frozen_copy(network)
        self.decay = decay

    @property
    def network(self) -> nn.Module:
        return self.kept

    def restore(self, kept: Mapping[str, Tensor], network: nn.Module) -> None:
        self.kept.load_state_dict(kept)

    def update(self, network: nn.Module, updates: int) -> None:
        decay = min(self.decay, (1 + updates) / (10 + updates))
        _lerp(self.kept, network, 1 - decay)


class WiSEFT(Average):
    """The weight-space ensemble of a fine-tuned network: (1 - alpha) * initial + alpha * current.

    Equation 1 of Wortsman et al. 2022 (2109.01903), for running statistics as well.
    """

    def __init__(self, network: nn.Module, alpha: float) -> None:
        self.kept, self._average = _frozen_copy(network), _frozen_copy(network)
        self._current: nn.Module | None = None  # which the average has not followed yet
        self.alpha = alpha

    @property
    def network(self) -> nn.Module:
        if self._current is not None:
            self._average.load_state_dict(self.kept.state_dict())
            _lerp(self._average, self._current, self.alpha)
            self._current = None
        return self._average

    def restore(self, kept: Mapping[str, Tensor], network: nn.Module) -> None:
        self.kept.load_state_dict(kept)
        self._current = network

    def update(self, network: nn.Module, updates: int) -> None:
        self._current = network


def average_for(recipe: Recipe, network: nn.Module) -> Average | None:
    """The average of `network` that `recipe` evaluates and saves; None where that is the network itself."""
    if recipe.ema is not None:
        return EMA(network, recipe.ema)
    alpha = recipe.fine_tuning.wise_ft
    return WiSEFT(network, alpha) if alpha < 1 else None


def copies_for(recipe: Recipe) -> int:
    """How many copies of the network its average takes."""
    return 1 if recipe.ema is not None else 2 if recipe.fine_tuning.wise_ft < 1 else 0


def _frozen_copy(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def _lerp(average: nn.Module, network: nn.Module, weight: float) -> None:
    """Moves `average` towards `network` by `weight`; entries that are counters become those of `network`."""
    averages, current = average.state_dict(), network.state_dict()
    floating = [name for name, value in averages.items() if value.is_floating_point()]
    lerp_all([averages[n] for n in floating], [current[n] for n in floating], weight)
    for name in averages.keys() - set(floating):
        averages[name].copy_(current[name])
