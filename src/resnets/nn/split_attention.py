"""Split attention: several maps for each channel, weighted by attention (Zhang et al. 2020, 2004.08955, section 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.nn.layers import Layers
from resnets.nn.middles import SplitAttention


class SplitAttentionConv(nn.Module):
    """A 3x3 convolution to radix * channels, norm, activation, and the weighted sum of the `radix` maps.

    The weights are W2 relu(norm(W1 mean(sum of the maps))), then softmax over the maps, or sigmoid where there is one
    (equations 1 to 3). (N, channels, ...) to the same channels, each spatial size divided by `stride`.

    Where there is a stride, an average pool of window 3 has it in place of the convolution; padding counts as zeros, as
    in the authors' code.
    """

    def __init__(
        self, layers: Layers, channels: int, settings: SplitAttention, *, stride: int, dilation: int, groups: int
    ) -> None:
        super().__init__()
        self.channels, self.radix = channels, settings.radix
        self.positions = layers.positions
        ones, maps = [1] * layers.dimensions, channels * settings.radix
        self.by_group = [-1, groups, settings.radix, channels // groups]
        self.like_maps = [-1, maps, *ones]
        hidden = settings.hidden(channels)
        pool = layers.smoothing_pool(stride) if stride > 1 else nn.Identity()
        self.pool_first = pool if settings.pool_first else nn.Identity()
        self.conv = layers.conv(channels, maps, 3, groups=groups * settings.radix, dilation=dilation)
        self.bn0 = layers.normalization(maps)
        self.act0 = layers.nonlinearity()
        self.fc1 = layers.conv(channels, hidden, 1, groups=groups, bias=True)
        self.bn1 = layers.normalization(hidden, pooled=True)
        self.fc2 = layers.conv(hidden, maps, 1, groups=groups, bias=True)
        self.pool_last = nn.Identity() if settings.pool_first else pool

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.split(self.act0(self.bn0(self.conv(self.pool_first(x)))), self.channels, dim=1)
        total = maps[0]
        for number in range(1, self.radix):
            total = total + maps[number]
        hidden = F.relu(self.bn1(self.fc1(total.mean(dim=self.positions, keepdim=True))))
        logits = self.fc2(hidden).reshape(self.by_group).transpose(1, 2)  # (N, radix, groups, channels of a group)
        weights = logits.softmax(dim=1) if self.radix > 1 else logits.sigmoid()
        weight = torch.split(weights.reshape(self.like_maps), self.channels, dim=1)
        y = maps[0] * weight[0]
        for number in range(1, self.radix):
            y = y + maps[number] * weight[number]
        return self.pool_last(y)  # type: ignore[no-any-return]
