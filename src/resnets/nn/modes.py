"""A context manager for evaluation mode."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn


@contextlib.contextmanager
def evaluation_mode(*networks: nn.Module) -> Iterator[None]:
    """Context manager that sets `networks` to evaluation mode and restores the mode of each of their modules.

    A network in training mode would normalise by the statistics of the batch and update its running statistics.
    """
    were_training = [module for network in networks for module in network.modules() if module.training]
    for module in were_training:
        module.training = False
    try:
        yield
    finally:
        for module in were_training:
            module.training = True
