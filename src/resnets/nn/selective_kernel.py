"""Selective kernels: attention chooses between windows of two sizes (Li et al. 2019, 1903.06586, section 3.1)."""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from resnets.nn.layers import Layers
from resnets.nn.middles import SelectiveKernel


class SelectiveKernelAttention(nn.Module):
    """Weights of two paths that sum to 1: W2 relu(norm(W1 mean(u))), then softmax over the paths.

    (N, channels, ...), the sum of the paths, to (N, 2, channels, 1, ...).
    """

    def __init__(self, layers: Layers, channels: int, hidden: int) -> None:
        super().__init__()
        self.positions = layers.positions
        self.shape = [-1, 2, channels] + [1] * layers.dimensions
        self.fc_reduce = layers.conv(channels, hidden, 1)
        self.bn = layers.normalization(hidden, pooled=True)
        self.fc_select = layers.conv(hidden, 2 * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.bn(self.fc_reduce(x.mean(dim=self.positions, keepdim=True))))
        return self.fc_select(hidden).reshape(self.shape).softmax(dim=1)  # type: ignore[no-any-return]


class SelectiveKernelConv(nn.Module):
    """Two paths of 3x3 convolution, norm and activation, summed with weights. (N, inputs, ...) to (N, outputs, ...).

    The second path has twice the dilation: a window of 5 with the weights of a window of 3, as the paper has it.
    """

    def __init__(
        self, layers: Layers, inputs: int, outputs: int, settings: SelectiveKernel, *,
        stride: int, dilation: int, groups: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.split = settings.split

        def path(dilation: int) -> nn.Module:
            of_path = inputs // 2 if settings.split else inputs
            return nn.Sequential(
                OrderedDict(
                    conv=layers.conv(of_path, outputs, 3, stride=stride, groups=groups, dilation=dilation),
                    bn=layers.normalization(outputs),
                    act=layers.nonlinearity(),
                )
            )

        self.paths = nn.ModuleList([path(dilation), path(2 * dilation)])
        self.attn = SelectiveKernelAttention(layers, outputs, settings.hidden(outputs))

    def forward(self, x: Tensor) -> Tensor:
        halves = x.chunk(2, dim=1) if self.split else [x, x]
        near = self.paths[0](halves[0])
        far = self.paths[1](halves[1])
        weights = self.attn(near + far)
        return near * weights[:, 0] + far * weights[:, 1]  # type: ignore[no-any-return]
