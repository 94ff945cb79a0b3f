"""Residual blocks.

    y = F(x) + shortcut(x)                          (He et al. 2015, equations 1 and 2)

`Basic` and `Bottleneck` are the post-activation blocks of 2015 (activation after the addition), `PreActBasic` and
`PreActBottleneck` those of 2016 (1603.05027; norm and activation before each convolution, nothing after the addition).
Without shortcuts they are the blocks of plain nets. Attribute names are torchvision's, so that its weights load.
"""

from __future__ import annotations

from typing import TypedDict

from torch import Tensor, nn

from resnets.nn.gates import build_gate
from resnets.nn.instance_batch import InstanceBatchNorm
from resnets.nn.layers import Layers
from resnets.nn.middles import Res2Net, SelectiveKernel, SplitAttention
from resnets.nn.res2net import HierarchicalConv
from resnets.nn.selective_kernel import SelectiveKernelConv
from resnets.nn.shapes import BlockShape
from resnets.nn.shortcuts import build_shortcut
from resnets.nn.split_attention import SplitAttentionConv
from resnets.nn.stochastic import Dropout, DropPath


def _regularizers(shape: BlockShape) -> tuple[nn.Module, nn.Module]:
    """The dropout between the convolutions, and the drop-path at the end of the branch."""
    return (
        Dropout(shape.dropout) if shape.dropout else nn.Identity(),
        DropPath(shape.drop_path) if shape.drop_path else nn.Identity(),
    )


class _Options(TypedDict):
    """Keyword arguments of a 3x3 convolution, and of what stands in its place."""

    stride: int
    dilation: int
    groups: int


def _middle(layers: Layers, shape: BlockShape, inputs: int, stride: int) -> tuple[nn.Module, nn.Module | None]:
    """A 3x3 convolution to `shape.inner` channels and its norm, or what stands in its place, which has its norms and
    activations within."""
    s, width = shape, shape.inner
    options = _Options(stride=stride, dilation=s.dilation, groups=s.groups)
    if isinstance(s.middle, SelectiveKernel):
        return SelectiveKernelConv(layers, inputs, width, s.middle, **options), None
    if isinstance(s.middle, Res2Net):
        return HierarchicalConv(layers, width, s.middle, changes=s.changes, **options), None
    if isinstance(s.middle, SplitAttention):
        return SplitAttentionConv(layers, width, s.middle, **options), None
    return layers.conv(inputs, width, 3, **options), layers.normalization(width)


def _last_norm(layers: Layers, shape: BlockShape) -> nn.Module | None:
    """The instance norm after the addition, if there is one."""
    return layers.instance_norm(shape.outputs) if shape.ibn == "b" else None


class Basic(nn.Module):
    """Two 3x3 convolutions. (N, inputs, ...) to (N, outputs, ...)."""

    def __init__(self, layers: Layers, shape: BlockShape) -> None:
        super().__init__()
        s = shape
        self.conv1, norm = _middle(layers, s, s.inputs, s.basic_stride)
        self.pool = layers.halving_pool() if s.pools else nn.Identity()
        self.bn1 = InstanceBatchNorm(layers, s.inner) if s.ibn == "a" else norm
        self.antialias = layers.antialiasing(s.antialias, s.stride)
        self.conv2 = layers.conv(s.inner, s.outputs, 3, groups=s.groups, dilation=s.dilation)
        self.bn2 = layers.normalization(s.outputs)
        self.se = build_gate(layers, s)
        self.act = layers.nonlinearity()
        self.dropout, self.drop_path = _regularizers(s)
        self.downsample = build_shortcut(layers, s.shortcut, s.inputs, s.outputs, s.stride, round_up=not s.pools)
        self.IN = _last_norm(layers, s)

    def forward(self, x: Tensor) -> Tensor:
        y = self.pool(self.conv1(x))
        if self.bn1 is not None:
            y = self.antialias(self.act(self.bn1(y)))
        y = self.drop_path(self.se(self.bn2(self.conv2(self.dropout(y)))))
        y = y if self.downsample is None else y + self.downsample(x)
        return self.act(y if self.IN is None else self.IN(y))  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """1x1 to reduce, 3x3, 1x1 to expand. (N, inputs, ...) to (N, outputs, ...)."""

    def __init__(self, layers: Layers, shape: BlockShape) -> None:
        super().__init__()
        s = shape
        stride_1, stride_2 = s.bottleneck_strides
        self.conv1 = layers.conv(s.inputs, s.reduced, 1, stride=stride_1)
        self.bn1 = InstanceBatchNorm(layers, s.reduced) if s.ibn == "a" else layers.normalization(s.reduced)
        self.conv2, self.bn2 = _middle(layers, s, s.reduced, stride_2)
        self.antialias = layers.antialiasing(s.antialias, s.stride)
        self.conv3 = layers.conv(s.reduced, s.outputs, 1)
        self.bn3 = layers.normalization(s.outputs)
        self.se = build_gate(layers, s)
        self.act = layers.nonlinearity()
        self.dropout, self.drop_path = _regularizers(s)
        self.downsample = build_shortcut(layers, s.shortcut, s.inputs, s.outputs, s.stride)
        self.IN = _last_norm(layers, s)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.bn1(self.conv1(x)))
        y = self.conv2(self.dropout(y))
        if self.bn2 is not None:
            y = self.antialias(self.act(self.bn2(y)))
        y = self.drop_path(self.se(self.bn3(self.conv3(y))))
        y = y if self.downsample is None else y + self.downsample(x)
        return self.act(y if self.IN is None else self.IN(y))  # type: ignore[no-any-return]


def _shares_activation(shape: BlockShape) -> bool:
    """Whether the shortcut starts after the first norm and ReLU rather than before them."""
    return shape.first or shape.changes


class PreActBasic(nn.Module):
    """Norm, activation, 3x3 convolution, twice; nothing after the addition. (N, inputs, ...) to (N, outputs, ...)."""

    def __init__(self, layers: Layers, shape: BlockShape) -> None:
        super().__init__()
        s = shape
        self.bn1 = layers.normalization(s.inputs)
        self.conv1 = layers.conv(s.inputs, s.inner, 3, stride=s.stride, groups=s.groups, dilation=s.dilation)
        self.bn2 = layers.normalization(s.inner)
        self.conv2 = layers.conv(s.inner, s.outputs, 3, groups=s.groups, dilation=s.dilation)
        self.se = build_gate(layers, s)
        self.act = layers.nonlinearity()
        self.dropout, self.drop_path = _regularizers(s)
        self.downsample = build_shortcut(layers, s.shortcut, s.inputs, s.outputs, s.stride, normalized=False)
        self.shares_activation = _shares_activation(s)

    def forward(self, x: Tensor) -> Tensor:
        active = self.act(self.bn1(x))
        y: Tensor = self.conv2(self.dropout(self.act(self.bn2(self.conv1(active)))))
        y = self.drop_path(self.se(y))
        return y if self.downsample is None else y + self.downsample(active if self.shares_activation else x)


class PreActBottleneck(nn.Module):
    """Norm, activation, convolution, three times: 1x1, 3x3, 1x1. (N, inputs, ...) to (N, outputs, ...)."""

    def __init__(self, layers: Layers, shape: BlockShape) -> None:
        super().__init__()
        s = shape
        stride_1, stride_2 = s.bottleneck_strides
        self.bn1 = layers.normalization(s.inputs)
        self.conv1 = layers.conv(s.inputs, s.inner, 1, stride=stride_1)
        self.bn2 = layers.normalization(s.inner)
        self.conv2 = layers.conv(s.inner, s.inner, 3, stride=stride_2, groups=s.groups, dilation=s.dilation)
        self.bn3 = layers.normalization(s.inner)
        self.conv3 = layers.conv(s.inner, s.outputs, 1)
        self.se = build_gate(layers, s)
        self.act = layers.nonlinearity()
        self.dropout, self.drop_path = _regularizers(s)
        self.downsample = build_shortcut(layers, s.shortcut, s.inputs, s.outputs, s.stride, normalized=False)
        self.shares_activation = _shares_activation(s)

    def forward(self, x: Tensor) -> Tensor:
        active = self.act(self.bn1(x))
        y: Tensor = self.dropout(self.act(self.bn2(self.conv1(active))))
        y = self.conv3(self.act(self.bn3(self.conv2(y))))
        y = self.drop_path(self.se(y))
        return y if self.downsample is None else y + self.downsample(active if self.shares_activation else x)
