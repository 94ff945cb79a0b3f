"""Small detectors, and images with objects for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import resnets
from resnets.models.box_heads import BoxHead, C4Head, FasterRCNNHead, RetinaNetHead
from resnets.models.spec import Spec
from resnets.nn.stochastic import set_rng_keys
from resnets.tasks.detection.boxes import Objects
from resnets.tasks.detection.network import Detector

HEADS: dict[str, BoxHead] = {
    "fasterrcnn": FasterRCNNHead(pyramid=16, hidden=32, regions_per_image=24, min_size=64, max_size=128),
    "maskrcnn": FasterRCNNHead(masks=True, pyramid=16, hidden=32, regions_per_image=24, min_size=64, max_size=128),
    "retinanet": RetinaNetHead(pyramid=16, min_size=64, max_size=128),
    "c4": C4Head(regions_per_image=24, min_size=64, max_size=128),
}
SPEC: dict[str, Any] = {
    "depths": (1, 1, 1, 1),
    "widths": (8, 16, 16, 24),
    "stem_width": 8,
    "norm": "frozen",
    "classes": 3,
}
SIZE = (64, 96)
KEYS = torch.tensor([11, 22, 33])


def small(kind: str, *, seed: int = 0, **fields: Any) -> Detector:
    """A detector in float64 in which several classes have probability at first."""
    spec = Spec(**{**SPEC, "head": HEADS[kind], **fields})
    network = resnets.create(spec, seed=seed)
    assert isinstance(network, Detector)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name in network.settings.output_layers:
            weight = network.get_parameter(f"{name}.weight")
            weight.normal_(0, 0.3 if weight.ndim == 2 else 0.05, generator=generator)
    return network.double()


def inputs(count: int = 3, size: tuple[int, int] = SIZE, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def objects(*boxes: tuple[float, float, float, float], size: tuple[int, int] = SIZE) -> Objects:
    """Objects of the classes 0, 1, 2, 0 and so on; the mask of each is its whole box."""
    found = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)
    masks = torch.zeros(len(boxes), *size, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = 1
    return Objects(found, torch.arange(len(boxes)) % 3, masks)


SOME = [
    objects((4, 6, 40, 38), (30, 20, 90, 60)),
    objects((0, 0, 96, 64)),
    objects((10, 10, 26, 50), (50, 5, 80, 30), (60, 30, 92, 62), (5, 40, 30, 60)),
]


def losses(network: Detector, x: Tensor, of_images: list[Objects], keys: Tensor = KEYS) -> dict[str, Tensor]:
    set_rng_keys(network, keys)
    return network.losses(x, of_images)
