"""Res2Net: within a block, windows grow from one part of the channels to the next (Gao et al. 2019, 1904.01169)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnets.nn.layers import Layers
from resnets.nn.middles import Res2Net


class HierarchicalConv(nn.Module):
    """y_1 = K_1(x_1); y_i = K_i(x_i + y_(i-1)); y_scale = x_scale, for `scale` parts x_i of the channels.

    K is a 3x3 convolution, norm and activation (section 3.1, equation 1, with the untouched part last, as in the
    authors' code). (N, width * scale, ...) to the same channels, each spatial size divided by `stride`.

    Args:
        width: channels of a part.
        changes: whether the block changes the shape. Parts are not chained then, and the last one is averaged over
            3x3 positions with the stride (padding counts as zeros, as in the authors' code).
    """

    def __init__(
        self, layers: Layers, width: int, settings: Res2Net, *,
        stride: int, dilation: int, groups: int, changes: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.width = width
        self.chained = not changes
        numbers = range(settings.scale - 1)
        self.convs = nn.ModuleList(
            [layers.conv(width, width, 3, stride=stride, groups=groups, dilation=dilation) for _ in numbers]
        )
        self.bns = nn.ModuleList([layers.normalization(width) for _ in numbers])
        self.act = layers.nonlinearity()
        self.pool = layers.smoothing_pool(stride) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        parts = torch.split(x, self.width, dim=1)
        y, outputs = parts[0], []
        for number, (conv, bn) in enumerate(zip(self.convs, self.bns, strict=True)):
            if number > 0:
                y = y + parts[number] if self.chained else parts[number]
            y = self.act(bn(conv(y)))
            outputs.append(y)
        outputs.append(self.pool(parts[len(self.convs)]))
        return torch.cat(outputs, dim=1)
