"""What a head gets of each region of an image: positions of the feature maps, and what is computed on them.

RoIAlign on the maps of a pyramid (He et al. 2017, 1703.06870, section 3; Lin et al. 2017, 1612.03144, equation 1), and
RoI pooling before the last stage of a residual network (He et al. 2015, 1512.03385, appendix A).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_pool
from torchvision.ops.poolers import LevelMapper

from resnets.tasks.detection.boxes import exact
from resnets.tasks.detection.pyramid import Shared

SAMPLES = 2  # of RoIAlign in each dimension of a position


class AlignedRegions(nn.Module):
    """Feature maps and boxes of each image to (R, channels, positions, positions), image after image.

    Values are those of torchvision's `MultiScaleRoIAlign`. A position is a sum of 16 places of a map, so that all
    regions of all maps are one `embedding_bag`. Its backward pass takes all cores, and on a GPU adds in a fixed order;
    that of torchvision's operator takes one core, and on a GPU has no fixed order.

    Args:
        strides: of the maps that regions are taken from, the first ones.
    """

    def __init__(self, positions: int, strides: Sequence[int]) -> None:
        super().__init__()
        self.positions, self.strides = positions, list(strides)
        first, last = (int(math.log2(stride)) for stride in (strides[0], strides[-1]))
        self.map_of = LevelMapper(first, last)

    def forward(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Takes maps (N, channels, H, W), of which those after the strides are not read, and boxes (R, 4) of each
        image."""
        used = [exact(each) for each in maps[: len(self.strides)]]
        table = torch.cat([each.permute(0, 2, 3, 1).flatten(0, 2) for each in used])
        places, shares = self._places(used, boxes)
        found = F.embedding_bag(places, table, mode="sum", per_sample_weights=shares)
        return found.view(-1, self.positions, self.positions, table.shape[1]).permute(0, 3, 1, 2)

    @torch.no_grad()
    def _places(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The rows of all maps' places that each position is a sum of, and their shares: (R * positions**2, 16)."""
        every = torch.cat(tuple(boxes)).to(maps[0])
        level = self.map_of(list(boxes))
        image = torch.cat([level.new_full((len(each),), number) for number, each in enumerate(boxes)])
        height, width = (level.new_tensor([each.shape[side] for each in maps])[level] for side in (2, 3))
        counts = level.new_tensor([each.shape[0] * each.shape[2] * each.shape[3] for each in maps])
        first = (counts.cumsum(0) - counts)[level] + image * height * width
        scale = every.new_tensor([1 / stride for stride in self.strides])[level]
        x1, y1, x2, y2 = (every * scale[:, None]).unbind(1)
        rows, of_rows = _between(y1, y2, self.positions, height)
        columns, of_columns = _between(x1, x2, self.positions, width)
        rows = first[:, None, None] + rows * width[:, None, None]
        places = rows[:, :, None, :, None] + columns[:, None, :, None, :]
        shares = of_rows[:, :, None, :, None] * of_columns[:, None, :, None, :]
        return places.view(-1, (2 * SAMPLES) ** 2), shares.view(-1, (2 * SAMPLES) ** 2)


def _between(start: Tensor, end: Tensor, positions: int, size: Tensor) -> tuple[Tensor, Tensor]:
    """Linear interpolation along one side of regions: (R, positions, 2 * SAMPLES) places, and the share of each.

    Args:
        start, end: (R,) in places of the map; a region is at least one place long.
        size: (R,) int64 of the map. What lies more than one place outside of it counts as 0.
    """
    steps = torch.arange(positions * SAMPLES, dtype=start.dtype, device=start.device).view(positions, SAMPLES)
    length = (end - start).clamp(min=1)
    at = start[:, None, None] + (steps + 0.5) * (length / (positions * SAMPLES))[:, None, None]
    inside = (at >= -1) & (at <= size[:, None, None])
    at = at.clamp(min=0)
    last = (size - 1)[:, None, None]
    low = torch.minimum(at.floor().long(), last)
    share = (at - low).where(low < last, 0)
    places = torch.stack([low, torch.minimum(low + 1, last)], -1)
    shares = torch.stack([1 - share, share], -1) * inside[..., None] / SAMPLES
    return places.flatten(2), shares.flatten(2)


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
