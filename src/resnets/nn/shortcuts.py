"""Shortcuts around residual branches (He et al. 2015, section 3.3).

| option | where the shape changes                      | elsewhere  |
|--------|----------------------------------------------|------------|
| A      | every second position, new channels are zero | identity   |
| B      | strided 1x1 convolution + norm               | identity   |
| C      | strided 1x1 convolution + norm               | the same   |
| D      | average pool, then 1x1 convolution + norm    | identity   |
| none   | no shortcut: a plain net                     | the same   |

D is "ResNet-D" of He et al. 2019 (1812.01187, figure 2c). In pre-activation nets the projection has no norm.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from resnets.nn.layers import AVERAGE_POOL, Layers
from resnets.nn.shapes import Shortcut


class ZeroPad(nn.Module):
    """Option A: no parameters. (N, C, ...) to (N, outputs, ...), each spatial size divided by `stride`.

    Half of the new channels are put before the old ones and half after, as in the open CIFAR implementations in wide
    use, so that their weights load. Any other order is the same network with its channels permuted.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dimensions: int = 2) -> None:
        super().__init__()
        if outputs < inputs:
            raise ValueError(f"shortcut A can add channels but not drop them ({inputs} to {outputs})")
        # A pool of window 1 gives what a slice would, but its gradient keeps the memory format. The gradient of a slice
        # has another one than the branch's, so that every operation before it would mix the two.
        self.subsample = AVERAGE_POOL[dimensions](1, stride)
        self.stride = stride
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before
        self.padding = [0, 0] * dimensions + [self.before, self.after]

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(self.subsample(x), self.padding)


def build_shortcut(
    layers: Layers,
    option: Shortcut,
    inputs: int,
    outputs: int,
    stride: int,
    *,
    normalized: bool = True,
    round_up: bool = True,
) -> nn.Module | None:
    """The shortcut around one block, or None for a plain net.

    Args:
        normalized: whether a norm follows the projection; pre-activation nets have none there.
        round_up: whether the pool of option D rounds an odd size up; the branch must round the same way.
    """
    changes = stride != 1 or inputs != outputs
    if option == "none":
        return None
    if option != "C" and not changes:
        return nn.Identity()
    if option == "A":
        return ZeroPad(inputs, outputs, stride, layers.dimensions)
    norm = [layers.normalization(outputs)] if normalized else []
    if option == "D":
        pool = layers.average_pool(stride, round_up=round_up) if stride != 1 else nn.Identity()
        return nn.Sequential(pool, layers.conv(inputs, outputs, 1), *norm)
    return nn.Sequential(layers.conv(inputs, outputs, 1, stride=stride), *norm)
