"""The network of regression: that of a classifier, with one output for each number."""

from __future__ import annotations

from torch import nn

from resnets.models.initialize import allocate
from resnets.models.spec import Spec


def build(spec: Spec) -> nn.Module:
    """A network on the CPU that maps (N, channels, ...) to (N, spec.classes); its weights are not yet set.

    Raises:
        UsageError: the spec has too many parameters for the weights to be allocated.
    """
    return allocate(spec)
