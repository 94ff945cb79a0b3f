"""The options of blocks, stems and shortcuts, and the shape of a block: frozen data that does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from resnets.nn.middles import Middle, Res2Net

Activation = Literal["relu", "gelu"]
Antialias = Literal["none", "blur", "average"]
Block = Literal["basic", "bottleneck"]
Gate = Literal["none", "se", "eca", "cbam", "gc"]
IBN = Literal["none", "a", "b"]
Norm = Literal["batch", "frozen", "group", "none"]
Pool = Literal["average", "max", "none"]
Shortcut = Literal["none", "A", "B", "C", "D"]
Stem = Literal["imagenet", "deep", "tiered", "cifar", "whitened"]
StemPool = Literal["max", "zero-padded max", "conv"]
StrideIn = Literal["1x1", "3x3", "max pool"]

# Strides of a stem's convolutions and of the pool after them.
STEM_STRIDES: dict[Stem, tuple[int, int]] = {
    "imagenet": (2, 2),
    "deep": (2, 2),
    "tiered": (2, 2),
    "cifar": (1, 1),
    "whitened": (2, 1),
}


def deep_stem_widths(stem: Stem, width: int) -> tuple[int, int]:
    """Output channels of the first two of the three convolutions of a deep or tiered stem; the last has `width`."""
    return (width * 3 // 8 if stem == "tiered" else width // 2), width // 2


def whitening_filters(channels: int, dimensions: int) -> int:
    """Output channels of the 2x2 layer of a whitened stem: a filter and its negative for each number in a window."""
    return 2 * channels * int(2**dimensions)


def eca_kernel(channels: int) -> int:
    """The window of efficient channel attention: (log2(channels) + 1) / 2 as an odd number, 3 or more.

    Wang et al. 2020 (1910.03151), equation 12 with gamma = 2 and b = 1; as in timm, rounded down, and up where that is
    even.
    """
    rounded_down = ((2 * channels).bit_length() - 1) // 2
    return max(3, rounded_down if rounded_down % 2 else rounded_down + 1)


def ibn_of_block(option: IBN, depths: tuple[int, ...], stage: int, number: int) -> IBN:
    """The option of IBN-Net in block `number` of `stage`, both from 0; see `nn.instance_batch`."""
    has_a, has_b = stage < len(depths) - 1, stage < 2 and 0 < number == depths[stage] - 1
    return option if (option == "a" and has_a) or (option == "b" and has_b) else "none"


@dataclass(frozen=True, kw_only=True)
class BlockShape:
    """Everything that the construction of a block depends on.

    Args:
        inputs, outputs: channels of x and y.
        inner: channels of the 3x3 convolution (of the first one, in a basic block; of each, in `Res2Net`).
        stride: of the block; each spatial size is divided by it.
        stride_in: the layer that has the stride. In a bottleneck "1x1" (v1, the paper) or "3x3" (v1.5, torchvision
            and most others); in a basic block "3x3", the first convolution, or "max pool", a pool after it, which
            rounds the size down.
        antialias: the filter after the 3x3 convolution (the first one, in a basic block) and its activation, which has
            the stride in place of the convolution (Zhang 2019, 1904.11486, section 3.2; `Layers.antialiasing`).
        first: whether this is a network's first block whose shortcut starts after the pre-activation as its branch
            does (He et al. 2016, appendix), even as the identity.
        middle: what stands in place of the 3x3 convolution (of the first one, in a basic block); None for itself.
        ibn: instance norm in this block; see `nn.instance_batch`.
        gate, gate_reduction, gate_divisor: the gate on the branch's output; see `nn.gates`.
    """

    inputs: int
    outputs: int
    inner: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    stride_in: StrideIn = "3x3"
    shortcut: Shortcut = "B"
    gate: Gate = "none"
    gate_reduction: int = 16
    gate_divisor: int = 1
    middle: Middle | None = None
    ibn: IBN = "none"
    dropout: float = 0.0
    drop_path: float = 0.0
    antialias: Antialias = "none"
    first: bool = False

    @property
    def changes(self) -> bool:
        """Whether the output has another shape than the input."""
        return self.stride != 1 or self.inputs != self.outputs

    @property
    def reduced(self) -> int:
        """Channels between the 1x1 convolutions of a bottleneck."""
        return self.inner * self.middle.scale if isinstance(self.middle, Res2Net) else self.inner

    @property
    def gate_channels(self) -> int:
        """Hidden channels of the gate: `outputs / gate_reduction`, rounded to a multiple of `gate_divisor` above 0."""
        divisor, reduction = self.gate_divisor, self.gate_reduction
        if divisor == 1:
            return max(1, self.outputs // reduction)
        return max(divisor, (2 * self.outputs + reduction * divisor) // (2 * reduction * divisor) * divisor)

    @property
    def pools(self) -> bool:
        """Whether the block has its stride in a pool."""
        return self.stride_in == "max pool" and self.stride > 1

    @property
    def basic_stride(self) -> int:
        """Stride of the first convolution of a basic block."""
        return 1 if self.pools or self.antialias != "none" else self.stride

    @property
    def bottleneck_strides(self) -> tuple[int, int]:
        """Strides of the first 1x1 convolution and of the 3x3 convolution of a bottleneck."""
        if self.antialias != "none":
            return 1, 1
        return (self.stride, 1) if self.stride_in == "1x1" else (1, self.stride)

    def least_input(self, output: int, dimensions: int, *, basic: bool) -> int:
        """The smallest size of the input, in one dimension, for which the output's is at least `output`.

        Blurs need 2 positions, and so do instance norms and 3-D average pools with a stride.
        """
        normalizes_strided = self.ibn == "a" and (basic or self.stride_in == "1x1")
        size = max(output, 2) if self.ibn == "b" or normalizes_strided else output
        size = size * self.stride if self.pools else (size - 1) * self.stride + 1
        averages = self.stride > 1 and (self.antialias == "average" or self.shortcut == "D")
        if self.antialias == "blur" or self.ibn == "a" or (averages and dimensions == 3):
            size = max(size, 2)
        return size
