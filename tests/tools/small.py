"""Small networks of each kind, and images, on which other people's tools are tried."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from resnets.models.initialize import create
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec

SMALL = Spec(depths=(2, 1), widths=(8, 8), stem_width=8, classes=5)
SPECS = {
    "basic": SMALL,
    "bottleneck, gate, deep stem": replace(SMALL, block="bottleneck", gate="se", shortcut="D", stem="deep"),
    "pre-activation": replace(SMALL, preactivation=True, stem="cifar"),
    "cifar, shortcut A": replace(SMALL, stem="cifar", shortcut="A"),
}


def images(count: int = 2, size: int = 32) -> Tensor:
    """(count, 3, size, size), the same each time."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def trained(spec: Spec = SMALL, seed: int = 1) -> ResNet:
    """A network in evaluation mode whose norms and biases are nowhere trivial."""
    network = create(spec, seed=seed)
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.ndim == 1 and not name.startswith("fc."):
                value.uniform_(0.5 if name.endswith("var") else -1.5, 1.5, generator=g)
    return network.eval()
