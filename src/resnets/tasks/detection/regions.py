"""What a head gets of each region of an image: positions of the feature maps, and what is computed on them.

RoIAlign on the maps of a pyramid (He et al. 2017, 1703.06870, section 3; Lin et al. 2017, 1612.03144, equation 1), and
RoI pooling before the last stage of a residual network (He et al. 2015, 1512.03385, appendix A).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign, roi_pool
from torchvision.ops.poolers import LevelMapper

from resnets.tasks.detection.boxes import exact
from resnets.tasks.detection.pyramid import Shared

SAMPLES = 2  # of RoIAlign in each dimension of a position


class AlignedRegions(nn.Module):
    """Feature maps and boxes of each image to (R, channels, positions, positions), image after image.

    torchvision's pool measures the scales of the maps at its first call and keeps them; here they are given.

    Args:
        strides: of the maps that regions are taken from, the first ones.
    """

    def __init__(self, positions: int, strides: Sequence[int]) -> None:
        super().__init__()
        self.names = [str(number) for number in range(len(strides))]
        self.pool = MultiScaleRoIAlign(self.names, positions, SAMPLES)
        self.pool.scales = [1 / stride for stride in strides]
        first, last = (int(math.log2(stride)) for stride in (strides[0], strides[-1]))
        self.pool.map_levels = LevelMapper(first, last)

    def forward(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        pooled: Tensor = self.pool(dict(zip(self.names, maps, strict=False)), list(boxes), [])
        return pooled


def pool_regions(shared: Tensor, boxes: Sequence[Tensor], positions: int, stride: int) -> Tensor:
    """The maxima (R, channels, positions, positions) of the feature map (N, channels, H, W) in the parts of each box.

    Args:
        boxes: (R, 4) of each image.
        stride: of the map.
    """
    numbers = [torch.full_like(each[:, :1], number) for number, each in enumerate(boxes)]
    regions = torch.cat([torch.cat(numbers), torch.cat(tuple(boxes))], dim=1)
    pooled: Tensor = roi_pool(exact(shared), regions, (positions, positions), 1 / stride)
    return pooled.to(shared.dtype)


def last_stage_of(backbone: Shared, maps: Sequence[Tensor], boxes: Sequence[Tensor], positions: int) -> Tensor:
    """The mean (R, channels) over the positions of what the last stage gives for each box."""
    pooled = pool_regions(maps[0], boxes, positions, backbone.strides[0])
    return backbone.body.forward_last_stage(pooled).mean((2, 3))
