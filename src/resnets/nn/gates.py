"""Gates: the end of a branch is scaled by numbers in (0, 1) that are computed from it.

| gate | scales              | by a function of                   | from                                       |
|------|---------------------|------------------------------------|--------------------------------------------|
| se   | channels            | their global means                 | Hu et al. 2018 (1709.01507), section 3     |
| eca  | channels            | the means of neighbouring channels | Wang et al. 2020 (1910.03151), section 3.3 |
| cbam | channels, positions | means and maxima                   | Woo et al. 2018 (1807.06521), section 3    |
| gc   | channels            | a weighted mean over positions     | Cao et al. 2019 (1904.11492), section 3.4  |

Fully connected layers are 1x1 convolutions. The names of weights are timm's, so that its weights load.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.nn.layers import Layers
from resnets.nn.shapes import BlockShape, eca_kernel


def build_gate(layers: Layers, shape: BlockShape) -> nn.Module:
    """The gate on the output of a block's branch; the identity if it has none."""
    channels, hidden = shape.outputs, shape.gate_channels
    if shape.gate == "se":
        return SqueezeExcitation(layers, channels, hidden)
    if shape.gate == "eca":
        return EfficientChannelAttention(layers, channels)
    if shape.gate == "cbam":
        return ConvolutionalBlockAttention(layers, channels, hidden)
    if shape.gate == "gc":
        return GlobalContext(layers, channels, hidden)
    return nn.Identity()


class SqueezeExcitation(nn.Module):
    """s = sigmoid(W2 relu(W1 mean(x))); y = s * x (equations 2 to 4).

    Args:
        hidden: channels between the two layers; the paper takes a sixteenth of `channels`.
    """

    def __init__(self, layers: Layers, channels: int, hidden: int) -> None:
        super().__init__()
        self.positions = layers.positions
        self.fc1 = layers.conv(channels, hidden, 1, bias=True)
        self.fc2 = layers.conv(hidden, channels, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean(dim=self.positions, keepdim=True)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(pooled))))


class EfficientChannelAttention(nn.Module):
    """s = sigmoid(conv(mean(x))), a convolution along the channels without bias; y = s * x (equations 9 and 12)."""

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.positions = layers.positions
        self.like_x = [-1, channels] + [1] * layers.dimensions
        kernel = eca_kernel(channels)
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean(dim=self.positions).unsqueeze(1)  # (N, 1, C)
        return x * torch.sigmoid(self.conv(pooled)).reshape(self.like_x)


class ChannelAttention(nn.Module):
    """s = sigmoid(W2 relu(W1 mean(x)) + W2 relu(W1 max(x))); y = s * x (Woo et al. 2018, equation 2)."""

    def __init__(self, layers: Layers, channels: int, hidden: int) -> None:
        super().__init__()
        self.positions = layers.positions
        self.fc1 = layers.conv(channels, hidden, 1)
        self.fc2 = layers.conv(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = self.fc2(F.relu(self.fc1(x.mean(dim=self.positions, keepdim=True))))
        largest = self.fc2(F.relu(self.fc1(x.amax(dim=self.positions, keepdim=True))))
        return x * torch.sigmoid(mean + largest)


class SpatialAttention(nn.Module):
    """s = sigmoid(norm(conv([mean(x), max(x)]))), over channels; y = s * x (Woo et al. 2018, equation 3).

    The convolution is 7x7. The norm is timm's and that of the authors' code; the equation has none.
    """

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.conv = nn.Sequential(OrderedDict(conv=layers.conv(2, 1, 7), bn=layers.normalization(1)))

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.conv(pooled))


class ConvolutionalBlockAttention(nn.Module):
    """CBAM: attention to channels, then to positions (Woo et al. 2018, equation 1)."""

    def __init__(self, layers: Layers, channels: int, hidden: int) -> None:
        super().__init__()
        self.channel = ChannelAttention(layers, channels, hidden)
        self.spatial = SpatialAttention(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.spatial(self.channel(x))  # type: ignore[no-any-return]


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each position: (N, C, ...) to the same shape (Ba et al. 2016, 1607.06450)."""

    def forward(self, input: Tensor) -> Tensor:
        last = input.movedim(1, -1)
        return F.layer_norm(last, self.normalized_shape, self.weight, self.bias, self.eps).movedim(-1, 1)


class Perceptron(nn.Module):
    """W2 relu(layernorm(W1 x + b1)) + b2 of pooled channels: (N, channels, 1, ...) to the same shape."""

    def __init__(self, layers: Layers, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = layers.conv(channels, hidden, 1, bias=True)
        self.norm = ChannelNorm(hidden, eps=1e-6)
        self.fc2 = layers.conv(hidden, channels, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.relu(self.norm(self.fc1(x))))  # type: ignore[no-any-return]


class GlobalContext(nn.Module):
    """c = sum over positions of softmax(w x) x; y = sigmoid(perceptron(c)) * x (Cao et al. 2019, figure 5a).

    The paper adds the transformed context to x; this one scales x by it, as timm's "gc" does.
    """

    def __init__(self, layers: Layers, channels: int, hidden: int) -> None:
        super().__init__()
        self.like_x = [-1, channels] + [1] * layers.dimensions
        self.conv_attn = layers.conv(channels, 1, 1, bias=True)
        self.mlp_scale = Perceptron(layers, channels, hidden)

    def forward(self, x: Tensor) -> Tensor:
        attention = self.conv_attn(x).flatten(2).softmax(dim=2)  # (N, 1, positions)
        context = torch.matmul(x.flatten(2), attention.transpose(1, 2))  # (N, C, 1)
        return x * torch.sigmoid(self.mlp_scale(context.reshape(self.like_x)))
