"""Layers that draw at random while training: stochastic depth and dropout.

Their masks are a hash of a key a sample, the layer's own number and the position, all in 64-bit integers. So the
same keys give the same masks on any device, in any micro-batch, and again when a checkpointed segment is
recomputed. The training loop sets the keys (`set_rng_keys`); a network trained without them draws its keys from
torch's global generator, as torch's own layers do.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnets.nn.layers import broadcast

# Odd constants of the SplitMix64 generator (Steele et al. 2014), as signed 64-bit integers.
_STEP = 0x9E3779B97F4A7C15 - 2**64
_STREAM = 0xD1342543DE82EF95
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64


def _shift_right(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)  # torch shifts the sign in; take it out


def _mix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser: a bijection of 64-bit integers whose output looks random."""
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def uniforms(keys: Tensor, layer: int, count: int = 1) -> Tensor:
    """Numbers in [0, 1) that depend on nothing but their arguments.

    Args:
        keys: (N,) int64, one a sample.
        layer: number of the layer that draws.
        count: how many numbers a sample needs.

    Returns:
        (N, count) float32, of 24 random bits each.
    """
    offset = (layer + 1) * _STREAM % 2**64
    stream = _mix(keys + (offset - 2**64 if offset >= 2**63 else offset))
    positions = torch.arange(1, count + 1, dtype=torch.int64, device=keys.device)
    bits = _mix(stream[:, None] + positions * _STEP)
    return _shift_right(bits, 40).float() * 2.0**-24


class Stochastic(nn.Module):
    """A layer that needs keys while training. `keys` is (N,) int64, or None."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.layer = 0
        self.keys: Tensor | None = None

    def _uniforms(self, x: Tensor, count: int) -> Tensor:
        keys = self.keys
        if keys is None:
            keys = torch.randint(2**62, (x.shape[0],), device=x.device)
        return uniforms(keys, self.layer, count)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


class DropPath(Stochastic):
    """Stochastic depth (Huang et al. 2016, 1603.09382): a sample's residual branch is left out with chance `rate`.

    What is kept is divided by 1 - rate while training, so that nothing needs scaling at test time.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = (self._uniforms(x, 1)[:, 0] >= self.rate).to(x.dtype) / (1 - self.rate)
        return x * broadcast(keep, x)


class Dropout(Stochastic):
    """Dropout between the convolutions of wide residual nets (Zagoruyko and Komodakis 2016, section 2.4)."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = self._uniforms(x, x[0].numel()).view(x.shape) >= self.rate
        return x * (keep.to(x.dtype) / (1 - self.rate))


def number_stochastic_layers(network: nn.Module) -> None:
    """Gives every stochastic layer of `network` its own number, in the order of construction."""
    for number, layer in enumerate(m for m in network.modules() if isinstance(m, Stochastic)):
        layer.layer = number


def set_rng_keys(network: nn.Module, keys: Tensor | None) -> None:
    """Hands `keys` (N,) to every stochastic layer for the coming forward pass; None returns them to torch's draws."""
    for layer in network.modules():
        if isinstance(layer, Stochastic):
            layer.keys = keys
