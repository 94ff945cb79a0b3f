"""What a picture passes before the first block.

| stem     | convolutions          | pool       | stride | from                                    |
|----------|-----------------------|------------|--------|-----------------------------------------|
| imagenet | 7x7/2                 | 3x3/2 max  | 4      | He et al. 2015, table 1                 |
| deep     | 3x3/2, 3x3, 3x3       | 3x3/2 max  | 4      | He et al. 2019 (1812.01187), figure 2b  |
| cifar    | 3x3                   | none       | 1      | He et al. 2015, section 4.2             |
"""

from __future__ import annotations

from torch import nn

from resnets.nn.layers import Layers
from resnets.nn.shapes import STEM_STRIDES, Stem


def build_stem(layers: Layers, stem: Stem, inputs: int, width: int) -> tuple[nn.Module, nn.Module]:
    """The stem's convolutions (whose last norm and ReLU the network adds) and its pool; `width` channels come out."""
    conv_stride, pool_stride = STEM_STRIDES[stem]
    conv: nn.Module
    if stem == "deep":
        half = width // 2
        conv = nn.Sequential(
            layers.conv(inputs, half, 3, stride=conv_stride),
            layers.normalization(half),
            nn.ReLU(),
            layers.conv(half, half, 3),
            layers.normalization(half),
            nn.ReLU(),
            layers.conv(half, width, 3),
        )
    else:
        conv = layers.conv(inputs, width, 7 if stem == "imagenet" else 3, stride=conv_stride)
    return conv, layers.max_pool() if pool_stride > 1 else nn.Identity()
