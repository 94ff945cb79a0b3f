"""The filters of a stem that whitens, computed from training images before the first step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from resnets.data.loader import Batches
from resnets.models.initialize import whiten
from resnets.training.recipe import Recipe


def whiten_stem(
    network: nn.Module,
    recipe: Recipe,
    batches: Batches,
    micro_batch: int,
    total: Callable[[Tensor], Tensor] = lambda t: t,
) -> bool:
    """Computes the filters of a stem that whitens from the first training images; returns whether it did.

    Those of given weights stay: the layers behind them were trained on what they give.

    Args:
        micro_batch: images at a time.
        total: sums over ranks.
    """
    steps = math.ceil(recipe.initialization.whiten / recipe.batch)
    if not steps or recipe.model.stem != "whitened" or recipe.weights is not None:
        return False
    whiten(network, (part for b in batches.between(0, steps) for part in torch.split(b["inputs"], micro_batch)), total)
    return True
