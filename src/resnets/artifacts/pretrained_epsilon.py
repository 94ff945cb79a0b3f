"""Published weights of detectors whose batch norms have another epsilon than their network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from resnets.core.files import sha256_of

# How the SHA-256 of torchvision's files begin: fasterrcnn_resnet50_fpn, maskrcnn_resnet50_fpn and
# retinanet_resnet50_fpn, COCO_V1. They were trained without an epsilon, which torchvision sets where it loads them.
PUBLISHED = ("258fb6c6", "bf2d0c1e", "eeacb38b")


def without_epsilon(state: Mapping[str, Tensor], path: Path, epsilon: float) -> tuple[dict[str, Tensor], list[str]]:
    """`state`, with variances that give the same norms with `epsilon` where the file is one without; and a line on it.

    Args:
        path: the file of `state`.
    """
    if not any(name.startswith("backbone.fpn.") for name in state) or not sha256_of(path).startswith(PUBLISHED):
        return dict(state), []
    lowered = {
        name: (value.double() - epsilon).clamp(min=0).to(value.dtype) if name.endswith("running_var") else value
        for name, value in state.items()
    }
    return lowered, [f"Running variances were lowered by {epsilon:g}: these weights were trained without an epsilon."]
