"""Layers that are random in training: stochastic depth and dropout.

A mask is a hash of the sample's key, the layer's number and the position, in 64-bit integers. The same keys give the
same masks on any device, in any micro-batch, and when a segment is recomputed (activation checkpointing). The training
loop sets the keys with `set_rng_keys`; without keys, a layer draws them from torch's global generator, as torch's own
layers do. Under `torch.jit.script`, whose language has no integers of this size, the numbers themselves are torch's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.fx
from torch import Tensor, nn

# Odd constants of the SplitMix64 generator (Steele et al. 2014), as signed 64-bit integers.
_STEP = 0x9E3779B97F4A7C15 - 2**64
_STREAM = 0xD1342543DE82EF95
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64


def _shift_right(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)  # torch's shift is arithmetic: clear the copies of the sign bit


def _mix(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64: a bijection of 64-bit integers with uniform output bits."""
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def random_bits(keys: Tensor, layer: int, count: int = 1) -> Tensor:
    """Uniform integers from 0 to 2**63 - 1, a pure function of the arguments.

    Args:
        keys: (N,) int64, one for each sample.
        layer: number of the layer that draws.
        count: numbers for each sample.

    Returns:
        (N, count) int64.
    """
    offset = (layer + 1) * _STREAM % 2**64
    stream = _mix(keys + (offset - 2**64 if offset >= 2**63 else offset))
    positions = torch.arange(1, count + 1, dtype=torch.int64, device=keys.device)
    return _shift_right(_mix(stream[:, None] + positions * _STEP), 1)


def uniforms(keys: Tensor, layer: int, count: int = 1) -> Tensor:
    """Uniform numbers in [0, 1): (N, count) float32 with 24 random bits each, of `random_bits`."""
    return (random_bits(keys, layer, count) >> 39).float() * 2.0**-24


@torch.fx.wrap  # symbolic tracing keeps a call as it is, since shapes are not known while it traces
def draw(x: Tensor, keys: Tensor | None, layer: int, for_each_sample: bool) -> Tensor:
    """Uniform numbers in [0, 1): (N, 1, ...) with the dimensions of `x` where `for_each_sample`, else of its shape.

    Args:
        x: (N, ...).
        keys: (N,) int64, one for each sample; None draws them from torch's global generator.
        layer: number of the layer that draws.
    """
    shape = [x.shape[0]] + [1] * (x.ndim - 1) if for_each_sample else list(x.shape)
    if torch.jit.is_scripting():  # type: ignore[attr-defined]
        return torch.rand(shape, device=x.device)
    if keys is None:
        keys = torch.randint(2**62, (x.shape[0],), device=x.device)
    return uniforms(keys, layer, 1 if for_each_sample else x[0].numel()).view(shape)


class Stochastic(nn.Module):
    """A layer that is random in training.

    Attributes:
        rate: probability that a sample or a number is dropped, in [0, 1).
        layer: number of this layer in its network; see `number_stochastic_layers`.
        keys: (N,) int64, or None to draw them from torch's global generator.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.layer = 0
        self.keys: Tensor | None = None

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


class DropPath(Stochastic):
    """Stochastic depth (Huang et al. 2016, 1603.09382): drops a sample's residual branch with probability `rate`.

    In training the branches that are kept are divided by 1 - rate, so that nothing is scaled in evaluation.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = draw(x, self.keys, self.layer, True) >= self.rate
        return x * (keep.to(x.dtype) / (1 - self.rate))


class Dropout(Stochastic):
    """Dropout (Srivastava et al. 2014): sets each number to 0 with probability `rate`.

    It stands between the convolutions of wide residual nets (Zagoruyko and Komodakis 2016, section 2.4) and before the
    last convolution of fully convolutional heads. Kept numbers are divided by 1 - rate.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = draw(x, self.keys, self.layer, False) >= self.rate
        return x * (keep.to(x.dtype) / (1 - self.rate))


class ChannelDropout(Stochastic):
    """Dropout of whole channels (Tompson et al. 2015, 1411.4280, section 3.2): each is 0 with probability `rate`.

    (N, C, ...) to the same shape. Kept channels are divided by 1 - rate.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        of_channel = x.flatten(2)[:, :, 0]
        keep = draw(of_channel, self.keys, self.layer, False) >= self.rate
        return x * (keep.to(x.dtype) / (1 - self.rate)).view([x.shape[0], x.shape[1]] + [1] * (x.ndim - 2))


def set_region_keys(part: nn.Module, keys: Tensor | None, counts: Sequence[int]) -> None:
    """Sets the keys of every stochastic layer of `part` for a forward pass of regions of samples.

    Args:
        keys: (N,) int64 of the samples, or None to draw them from torch's global generator.
        counts: how many regions each sample has, which follow one another.
    """
    if keys is not None:
        drawn = random_bits(keys, -1, max(counts, default=0))
        keys = torch.cat([of_sample[:count] for of_sample, count in zip(drawn, counts, strict=True)])
    set_rng_keys(part, keys)


def number_stochastic_layers(network: nn.Module) -> None:
    """Numbers the stochastic layers of `network` in the order of construction."""
    for number, layer in enumerate(m for m in network.modules() if isinstance(m, Stochastic)):
        layer.layer = number


def set_rng_keys(network: nn.Module, keys: Tensor | None) -> None:
    """Sets the keys of every stochastic layer for the next forward pass.

    Args:
        keys: (N,) int64, or None to draw them from torch's global generator.
    """
    for layer in network.modules():
        if isinstance(layer, Stochastic):
            layer.keys = keys
