"""Squeeze-and-excitation: channels are scaled by a function of their global means (Hu et al. 2018, 1709.01507)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.nn.layers import Layers


class SqueezeExcitation(nn.Module):
    """s = sigmoid(W2 relu(W1 mean(x))); y = s * x (equations 2 to 4).

    The two fully connected layers are 1x1 convolutions under timm's names, so that its weights load.

    Args:
        reduction: `channels` divided by the width of the hidden layer (r in the paper, which takes 16).
    """

    def __init__(self, layers: Layers, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.positions = tuple(range(2, 2 + layers.dimensions))
        hidden = max(1, channels // reduction)
        self.fc1 = layers.conv(channels, hidden, 1, bias=True)
        self.fc2 = layers.conv(hidden, channels, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean(dim=self.positions, keepdim=True)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(pooled))))
