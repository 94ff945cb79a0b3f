"""A network as a torch module, new or with pretrained weights: `resnets.create`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from resnets.artifacts.pretrained import load_weights
from resnets.core.console import say
from resnets.core.errors import UsageError
from resnets.core.rng import MAX_SEED
from resnets.core.signatures import checked_arguments
from resnets.models import catalog, initialize
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec
from resnets.nn.shapes import StrideIn


@checked_arguments
def create(
    name: str | Spec,
    *,
    classes: int | None = None,
    channels: int | None = None,
    weights: str | Path | None = None,
    weights_stride: StrideIn | None = None,
    seed: int = 0,
) -> ResNet:
    """Create a network as a torch module, new or with pretrained weights.

    Args:
        name: from `CATALOG`, or a Spec.
        classes, channels: instead of the spec's; pretrained weights are adapted, and what was adapted is printed to
            standard error.
        weights: a model file, a run folder, any `.pth` or `.safetensors` file, "torchvision:NAME" or "timm:TAG". None
            initialises new ones.
        weights_stride: for a file of bottlenecks that does not say which convolution has the stride: "1x1" or "3x3".
        seed: of new weights.

    Returns:
        A `ResNet` in training mode: `net(x)` returns logits, `net.features(x)` the stages by name; `net.spec` is the
        spec.

    Raises:
        UsageError: if the name is unknown or a value is out of range.
        FileError: if the weights are missing, damaged or of another network.
    """
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"seed must be from 0 to {MAX_SEED}, not {seed}.")
    spec = catalog.find(name) if isinstance(name, str) else name
    spec = replace(
        spec,
        classes=spec.classes if classes is None else classes,
        channels=spec.channels if channels is None else channels,
    )
    network = initialize.create(spec, seed=seed)
    if weights is not None:
        library_name = name if isinstance(name, str) else None
        for line in load_weights(network, weights, name=library_name, weights_stride=weights_stride):
            say(line, stream=sys.stderr)
    return network
