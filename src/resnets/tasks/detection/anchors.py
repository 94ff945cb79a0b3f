"""Anchors: boxes at every position of feature maps, from which a detector's boxes are measured.

Ren et al. 2015 (1506.01497), section 3.1.1. They are torchvision's, from sizes and strides that are given: torchvision
derives the strides from the sizes of the maps, which is another number where a size is no multiple of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torchvision.models.detection.rpn import AnchorGenerator

from resnets.models.box_heads import BoxHead
from resnets.tasks.detection.boxes import exact

Size = tuple[int, int]  # height and width


def anchors_on(maps: Sequence[Tensor], strides: Sequence[int], head: BoxHead) -> Tensor:
    """(A, 4) the anchors of each map in turn; of a map row by row, and of a position size by size.

    Args:
        maps: (N, channels, H, W) each.
        strides: of the first maps. For those after them, torchvision's are taken: the size that the last stride gives
            by the size of the map, rounded down.
    """
    sizes = [(each.shape[2], each.shape[3]) for each in maps]
    found: list[Size] = [(stride, stride) for stride in strides]
    height, width = (side * strides[-1] for side in sizes[len(strides) - 1])
    found += [(height // rows, width // columns) for rows, columns in sizes[len(strides) :]]
    of = exact(maps[0][:0])
    return _anchors(head.anchor_sizes, head.aspect_ratios, tuple(sizes), tuple(found), of.dtype, of.device)


@lru_cache(maxsize=4)
def _anchors(
    anchor_sizes: tuple[tuple[int, ...], ...],
    aspect_ratios: tuple[float, ...],
    maps: tuple[Size, ...],
    strides: tuple[Size, ...],
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    with torch.inference_mode(False):  # for training, too
        generator = AnchorGenerator(anchor_sizes, (aspect_ratios,) * len(anchor_sizes))
        generator.set_cell_anchors(dtype, device)
        return torch.cat(generator.grid_anchors(maps, strides))
