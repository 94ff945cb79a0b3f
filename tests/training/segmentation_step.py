"""One training step of segmentation in float64, on however many ranks this is started; see `test_segmentation_step`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from resnets.modalities.batch import Batch
from resnets.modalities.image.canvas import Canvas
from resnets.modalities.image.canvas_augmentations import CanvasAugmentations
from resnets.models.heads import FCNHead
from resnets.models.initialize import initialize
from resnets.models.spec import Spec
from resnets.nn.shapes import Norm
from resnets.tasks.segmentation.settings import Segment
from resnets.training import environment
from resnets.training.build import task_of
from resnets.training.distributed import Ranks, process_group
from resnets.training.recipe import Recipe
from resnets.training.step import Training

BATCH, CLASSES, SIZE = 6, 5, (12, 18)


def recipe(norm: Norm, bn_batch: int | None) -> Recipe:
    return Recipe(
        name="exact",
        data="masks",
        model=Spec(
            depths=(1, 1),
            widths=(4, 8),
            stem="cifar",
            stem_width=4,
            classes=CLASSES,
            norm=norm,
            head=FCNHead(auxiliary=True),
        ),
        task=Segment(auxiliary_weight=0.4),
        preprocessing=Canvas(crop=SIZE),
        augmentations=CanvasAugmentations(),
        batch=BATCH,
        bn_batch=bn_batch,
        steps=1,
        precision="fp32",
    )


def batch() -> Batch:
    """Samples of which each has another number of pixels that count, the last one none."""
    g = torch.Generator().manual_seed(0)
    masks = torch.randint(0, CLASSES, (BATCH, *SIZE), generator=g, dtype=torch.uint8)
    void = torch.rand(BATCH, *SIZE, generator=g) < torch.linspace(0, 1, BATCH)[:, None, None]
    inputs = torch.randn(BATCH, 3, *SIZE, generator=g, dtype=torch.float64)
    return Batch({"inputs": inputs, "masks": masks.masked_fill(void, 255)})


def training_of(ranks: Ranks, norm: Norm, bn_batch: int | None) -> Training:
    settings = recipe(norm, bn_batch)
    task = task_of(settings)
    network = task.build(settings.model)
    initialize(network, seed=0)
    chosen = environment.choose("cpu", "fp32")
    return Training(settings, chosen, task, network.double(), samples=BATCH, ranks=ranks)


def step(ranks: Ranks, norm: Norm, bn_batch: int | None) -> dict[str, Tensor]:
    """The loss of the global batch and the gradients of all weights."""
    training = training_of(ranks, norm, bn_batch)
    loss = training.accumulate(training.with_rng_keys(batch().rows(training.rows)))
    gradients = {name: p.grad for name, p in training.network.named_parameters() if p.grad is not None}
    return {"loss": ranks.sum(loss.double()), **gradients}


def save_step(file: Path, norm: Norm, bn_batch: int) -> None:
    """Saves the step of the ranks on which this is called."""
    with process_group("cpu") as (own, _):
        found = step(own, norm, bn_batch)
        if own.is_main:
            torch.save(found, file)
