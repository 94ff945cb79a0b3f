"""IBN-Net: instance norm beside batch norm (Pan et al. 2018, 1807.09441).

| option | where                                                                    | section 3.2, figure |
|--------|--------------------------------------------------------------------------|---------------------|
| a      | after the first convolution of each block, on half of the channels       | 3b                  |
| b      | after the addition of the last block of the first two stages, and in the | 3c                  |
|        | stem in place of batch norm                                              |                     |

Instance norm takes out what differs in appearance between images. It belongs to early layers, so that the last stage
has none. The names of weights are those of the authors' code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnets.nn.layers import Layers


class InstanceBatchNorm(nn.Module):
    """Instance norm of the first half of the channels, the network's norm of the others. (N, channels, ...) to itself.

    Each map needs more than one position.
    """

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.parts = [channels // 2, channels - channels // 2]
        self.IN = layers.instance_norm(self.parts[0])
        self.BN = layers.normalization(self.parts[1])

    def forward(self, x: Tensor) -> Tensor:
        halves = torch.split(x, self.parts, dim=1)
        return torch.cat([self.IN(halves[0]), self.BN(halves[1])], dim=1)
