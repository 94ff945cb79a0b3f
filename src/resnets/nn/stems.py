"""Stems: the convolutions and the pool before the first block.

| stem     | convolutions          | pool       | stride | from                                    |
|----------|-----------------------|------------|--------|-----------------------------------------|
| imagenet | 7x7/2                 | 3x3/2 max  | 4      | He et al. 2015, table 1                 |
| deep     | 3x3/2, 3x3, 3x3       | 3x3/2 max  | 4      | He et al. 2019 (1812.01187), figure 2b  |
| tiered   | 3x3/2, 3x3, 3x3       | 3x3/2 max  | 4      | timm, resnet50t                         |
| cifar    | 3x3                   | none       | 1      | He et al. 2015, section 4.2             |
| whitened | 2x2 fixed, 3x3        | 2x2/2 max  | 2      | Jordan 2024 (2404.00498), section 3     |

The first two convolutions of a deep stem have half of its width each, those of a tiered one 3/8 and half of it.

The pool of 3x3/2 may be another (`Spec.stem_pool`, `Spec.antialias`):

| pool            | layers                                             | from                                     |
|-----------------|----------------------------------------------------|------------------------------------------|
| zero-padded max | 3x3/2 max that counts zeros around the image       | BiT (Kolesnikov et al. 2020, 1912.11370) |
| conv            | 3x3/2 convolution, norm, activation                | ResNet-RS (Bello et al. 2021, 2103.07579)|
| blur            | 3x3/1 max, then a blur of stride 2                 | Zhang 2019 (1904.11486), section 3.2     |
| average         | 2x2/2 average, which drops the last of an odd size | timm, resnetaa50                         |

The 2x2 filters of the whitened stem are not learnt: `models.initialize.whiten` computes them from training images. They
have no padding, so their output has one row and one column fewer. The pool comes before the norm, which then normalises
a quarter of the numbers.
"""

from __future__ import annotations

from torch import nn

from resnets.nn.layers import Layers
from resnets.nn.shapes import STEM_STRIDES, Antialias, Stem, StemPool, deep_stem_widths, whitening_filters


def build_stem(
    layers: Layers, stem: Stem, inputs: int, width: int, pool: StemPool = "max", antialias: Antialias = "none"
) -> tuple[nn.Module, nn.Module]:
    """The convolutions (N, inputs, ...) to (N, width, ...), and the pool.

    Between the two the network has a norm and an activation.
    """
    conv_stride, pool_stride = STEM_STRIDES[stem]
    conv: nn.Module
    if stem in ("deep", "tiered"):
        first, second = deep_stem_widths(stem, width)
        conv = nn.Sequential(
            layers.conv(inputs, first, 3, stride=conv_stride),
            layers.normalization(first),
            layers.nonlinearity(),
            layers.conv(first, second, 3),
            layers.normalization(second),
            layers.nonlinearity(),
            layers.conv(second, width, 3),
        )
    elif stem == "whitened":
        filters = whitening_filters(inputs, layers.dimensions)
        whitening = layers.conv(inputs, filters, 2).requires_grad_(False)
        learnt = layers.conv(filters, width, 3)
        conv = nn.Sequential(whitening, layers.nonlinearity(), learnt, layers.halving_pool())
    else:
        conv = layers.conv(inputs, width, 7 if stem == "imagenet" else 3, stride=conv_stride)
    return conv, _pool(layers, pool, antialias, width) if pool_stride > 1 else nn.Identity()


def _pool(layers: Layers, pool: StemPool, antialias: Antialias, width: int) -> nn.Module:
    """(N, width, ...) to the same with half the size."""
    if pool == "conv":
        conv = layers.conv(width, width, 3, stride=2)
        return nn.Sequential(conv, layers.normalization(width), layers.nonlinearity())
    if antialias == "blur":
        return nn.Sequential(layers.max_pool(stride=1), layers.antialiasing("blur", 2))
    if antialias == "average":
        return layers.average_pool(2, round_up=False)
    return layers.max_pool(zeros=pool == "zero-padded max")
