"""Images and uniform numbers that tests of transforms share."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from resnets.modalities.image.transforms import (
    Mix,
    Transform,
)

LAST_UNIFORM = 1 - 2**-24  # the greatest float32 below 1


def uniforms(transform: Transform | Mix, count: int, seed: int = 0) -> Tensor:
    shape = (count, transform.numbers)
    return torch.from_numpy(np.random.default_rng(seed).random(shape, np.float32))


def photos(count: int, channels: int = 3, height: int = 14, width: int = 19) -> Tensor:
    """(N, C, H, W) float from 0 to 1, not square."""
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(1))
