"""What can stand in place of the 3x3 convolution in the middle of a block: frozen data that does not import torch.

| setting         | from                           | layers                | blocks            |
|-----------------|--------------------------------|-----------------------|-------------------|
| SelectiveKernel | Li et al. 2019 (1903.06586)    | `nn.selective_kernel` | basic, bottleneck |
| Res2Net         | Gao et al. 2019 (1904.01169)   | `nn.res2net`          | bottleneck        |
| SplitAttention  | Zhang et al. 2020 (2004.08955) | `nn.split_attention`  | bottleneck        |
"""

from __future__ import annotations

from dataclasses import dataclass


def divisible(channels: float, divisor: int) -> int:
    """`channels` rounded to a multiple of `divisor` that is at least `divisor` and nine tenths of `channels`.

    Howard et al. 2017's rounding of widths, as timm has it.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


@dataclass(frozen=True, kw_only=True)
class SelectiveKernel:
    """Two 3x3 convolutions, one of them with twice the dilation, weighted by attention.

    Args:
        split: whether each convolution gets half of the input's channels, as in most of timm's networks; else each
            gets all, as in the paper.
        reduction, divisor: the attention has channels / `reduction` hidden channels, rounded to a multiple of
            `divisor`.
    """

    split: bool = True
    reduction: int = 16
    divisor: int = 8

    def hidden(self, channels: int) -> int:
        return divisible(channels / self.reduction, self.divisor)


@dataclass(frozen=True, kw_only=True)
class Res2Net:
    """3x3 convolutions of parts of the channels, each of which also gets the output of the one before.

    Args:
        scale: parts, 2 or more; all but the last have a convolution.
    """

    scale: int = 4


@dataclass(frozen=True, kw_only=True)
class SplitAttention:
    """A 3x3 convolution to `radix` maps for each channel, weighted by attention.

    Where the block has a stride, a 3x3 average pool has it in place of the convolution.

    Args:
        radix: maps for each channel, 1 or more.
        pool_first: whether that pool comes before the convolution; else after it.
    """

    radix: int = 2
    pool_first: bool = False

    def hidden(self, channels: int) -> int:
        """Hidden channels of the attention, at least 32 (timm; the authors' code rounds otherwise)."""
        return max(32, divisible(channels * self.radix / 4, 8))


Middle = SelectiveKernel | Res2Net | SplitAttention
