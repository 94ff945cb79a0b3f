"""Where an image is on an input, and a tile on an image."""

from __future__ import annotations

import torch
from torch import Tensor

Place = tuple[int, int, int, int]  # of a tile: left, top, right and bottom in pixels


def regions_of(inputs: Tensor, regions: Tensor | None) -> Tensor:
    """(N, 4) left, top, right and bottom of the image on each of `inputs` (N, channels, H, W): `regions`, or all."""
    if regions is not None:
        return regions
    height, width = inputs.shape[2:]
    return torch.tensor([[0, 0, width, height]], dtype=torch.float32, device=inputs.device).expand(len(inputs), 4)
