"""The choices that blocks, stems and shortcuts offer, and a block's shape: frozen data, read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Activation = Literal["relu", "gelu"]
Block = Literal["basic", "bottleneck"]
Gate = Literal["none", "se"]
Norm = Literal["batch", "group", "none"]
Pool = Literal["average", "max"]
Shortcut = Literal["none", "A", "B", "C", "D"]
Stem = Literal["imagenet", "deep", "cifar", "whitened"]
StrideIn = Literal["1x1", "3x3", "max pool"]

# Stride of a stem's convolutions, and of the pool behind them.
STEM_STRIDES: dict[Stem, tuple[int, int]] = {"imagenet": (2, 2), "deep": (2, 2), "cifar": (1, 1), "whitened": (2, 1)}


def whitening_filters(channels: int, dimensions: int) -> int:
    """Outputs of the first layer of a stem that whitens: a filter and its negative for each number of a window of 2."""
    return 2 * channels * int(2**dimensions)


@dataclass(frozen=True, kw_only=True)
class BlockShape:
    """All that a block's construction depends on.

    Args:
        inputs, outputs: channels of x and y.
        inner: channels of the 3x3 convolution (of the first one, in a basic block).
        stride: of the block; each spatial size is divided by it.
        stride_in: which layer strides. Of a bottleneck "1x1" is the paper's (v1), "3x3" everyone's (v1.5); in basic
            blocks "3x3" is the first convolution, "max pool" a pool behind it, of which the size is rounded down.
        first: whether this is the network's first block, whose pre-activation serves shortcut and branch alike
            (He et al. 2016, appendix).
    """

    inputs: int
    outputs: int
    inner: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    stride_in: StrideIn = "3x3"
    shortcut: Shortcut = "B"
    gate_reduction: int = 0
    dropout: float = 0.0
    drop_path: float = 0.0
    first: bool = False

    @property
    def changes(self) -> bool:
        """Whether y has another shape than x."""
        return self.stride != 1 or self.inputs != self.outputs

    @property
    def pools(self) -> bool:
        """Whether a pool strides."""
        return self.stride_in == "max pool" and self.stride > 1

    @property
    def bottleneck_strides(self) -> tuple[int, int]:
        """Strides of a bottleneck's first 1x1 and of its 3x3."""
        return (self.stride, 1) if self.stride_in == "1x1" else (1, self.stride)
