"""Evaluation mode for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn


@contextlib.contextmanager
def evaluation_mode(*networks: nn.Module) -> Iterator[None]:
    """Context manager: `networks` compute as in evaluation; then each of their modules has the mode that it had.

    A network in training mode would normalise by the batch at hand and move its running statistics for good.
    """
    were_training = [module for network in networks for module in network.modules() if module.training]
    for module in were_training:
        module.training = False
    try:
        yield
    finally:
        for module in were_training:
            module.training = True
