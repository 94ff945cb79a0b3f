"""From what the network gives for its input to classes and boxes in pixels of the image."""

from __future__ import annotations

import torch
from torch import Tensor

from resnets.modalities.batch import Batch
from resnets.tasks.regions import regions_of


def on_originals(outputs: Tensor, batch: Batch) -> Tensor:
    """(N, classes, 5) outputs with boxes in pixels of the originals, of images that were not mirrored, cut at their
    borders.

    Args:
        outputs: (N, classes, 5) of the network: boxes are shares of the input.
        batch: "inputs", "sizes" (N, 2) height and width of the originals, "mirrored" (N,), and "regions" where inputs
            are larger than their images.
    """
    height, width = batch["inputs"].shape[2:]
    sizes = batch["sizes"].to(outputs)[:, [1, 0, 1, 0]]  # (N, 4) width, height, width, height
    regions = regions_of(batch["inputs"], batch.dense.get("regions")).to(outputs)
    start = regions[:, [0, 1, 0, 1]]
    scale = sizes / (regions[:, [2, 3, 2, 3]] - start)
    boxes = outputs[:, :, 1:] * outputs.new_tensor([width, height, width, height])
    boxes = (boxes - start[:, None]) * scale[:, None]
    mirrored = torch.stack(
        [sizes[:, :1] - boxes[:, :, 2], boxes[:, :, 1], sizes[:, :1] - boxes[:, :, 0], boxes[:, :, 3]], 2
    )
    boxes = torch.where(batch["mirrored"].to(outputs.device)[:, None, None], mirrored, boxes)
    boxes = torch.minimum(boxes.clamp(min=0), sizes[:, None])
    return torch.cat([outputs[:, :, :1], boxes], 2)
