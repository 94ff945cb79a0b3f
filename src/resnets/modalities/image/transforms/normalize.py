"""Normalisation: values from 0 to 1, less the mean, divided by the standard deviation."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnets.core.devices import constant, to_device
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.read.pillow import Pixels


def as_float(images: Tensor) -> Tensor:
    """Values from 0 to 1 as float32; uint8 images are divided by 255, others returned as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def normalize(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """(N, C, H, W) uint8, or float from 0 to 1, to float32: less the preprocessing's mean, divided by its std."""
    mean, std = _statistics(preprocessing, images.device)
    return (as_float(images) - mean).div_(std)  # in place: allocating again costs more than the division


def normalize_into(out: NDArray[np.float32], pixels: Pixels, preprocessing: Preprocessing) -> None:
    """`normalize` of one image (C, H, W) into `out`, without torch's threads: the same bits by the same operations."""
    mean, std = _statistics(preprocessing, torch.device("cpu"))
    np.divide(pixels, np.float32(255), out=out)
    np.subtract(out, mean.numpy(), out=out)
    np.divide(out, std.numpy(), out=out)


@lru_cache(maxsize=8)
def _statistics(preprocessing: Preprocessing, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation on `device`, to be broadcast over (C, H, W)."""
    with torch.inference_mode(False):  # cached by an evaluation, they may then be used in training
        mean = to_device(preprocessing.mean_pixels(), device)
    return mean, constant(preprocessing.std, device)[:, None, None]
