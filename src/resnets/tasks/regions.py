"""Where an image is on an input that is larger."""

from __future__ import annotations

import torch
from torch import Tensor

from resnets.modalities.batch import Batch


def regions_of(batch: Batch) -> Tensor:
    """(N, 4) left, top, right and bottom of the image on each input: "regions" of the batch, or all of it."""
    if "regions" in batch:
        return batch["regions"]
    height, width = batch["inputs"].shape[2:]
    return torch.tensor([[0, 0, width, height]], dtype=torch.float32).expand(len(batch), 4)
