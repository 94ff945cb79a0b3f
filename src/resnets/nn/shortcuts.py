"""The ways a signal goes around a residual branch that changes its shape (He et al. 2015, section 3.3).

| option | where the shape changes                      | elsewhere  |
|--------|----------------------------------------------|------------|
| A      | every second position, new channels are zero | identity   |
| B      | strided 1x1 convolution + norm               | identity   |
| C      | strided 1x1 convolution + norm               | the same   |
| D      | average pool, then 1x1 convolution + norm    | identity   |
| none   | nothing: the plain twin                      | nothing    |

D is "ResNet-D" of He et al. 2019 (1812.01187, figure 2c). In pre-activation nets the projection has no norm.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from resnets.nn.layers import Layers
from resnets.nn.shapes import Shortcut

_AVERAGE_POOL: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class ZeroPad(nn.Module):
    """Option A: no parameters. (N, C, ...) to (N, outputs, ...), each spatial size divided by `stride`.

    Half of the new channels come before the old ones, half after, as in the widely used open CIFAR nets whose
    weights then load unchanged; any other place is the same network with its channels permuted.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dimensions: int = 2) -> None:
        super().__init__()
        if outputs < inputs:
            raise ValueError(f"shortcut A can add channels but not drop them ({inputs} to {outputs})")
        self.stride = stride
        self.dimensions = dimensions
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x: Tensor) -> Tensor:
        # A pool of one position picks as a slice does, but its gradient keeps the layout, where a slice's would make
        # every operation before it mix two.
        every = _AVERAGE_POOL[self.dimensions](x, 1, self.stride)
        return F.pad(every, (0, 0) * self.dimensions + (self.before, self.after))


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
        normalized: whether a norm follows a projection; pre-activation nets have none there.
        round_up: what the pool of option D makes of an odd size; its branch has to do the same.
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
