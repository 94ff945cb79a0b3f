"""The heads that a task puts on a residual network, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LinearHead:
    """A global pool and a linear layer (He et al. 2015, table 1): one vector for each sample."""


@dataclass(frozen=True, kw_only=True)
class FCNHead:
    """A fully convolutional head (Long et al. 2015, 1411.4038, as torchvision has it): logits for each pixel.

    A 3x3 convolution to a quarter of the channels, norm, ReLU, dropout of 0.1 and a 1x1 convolution on the last stage,
    enlarged to the size of the input.

    Args:
        auxiliary: whether the stage before the last has such a head too, whose loss is added in training.
    """

    auxiliary: bool = False


Head = LinearHead | FCNHead
