"""One step of a task whose samples weigh differently, on any number of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.modalities.batch import Batch
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.models.initialize import create
from resnets.models.spec import Spec
from resnets.tasks.base import Network
from resnets.tasks.classification.task import Classification
from resnets.training import environment
from resnets.training.distributed import Ranks, process_group
from resnets.training.recipe import Recipe
from resnets.training.step import Training

BATCH = 12
SPEC = Spec(depths=(1,), widths=(8,), stem="cifar", stem_width=8, channels=1, classes=4, norm="group")


class WeightedTask(Classification):
    """Two parts of a loss; a sample of class n counts n + 1 times."""

    def loss(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        weights = batch["labels"] + 1
        each = F.cross_entropy(network(batch["inputs"]), batch["labels"], reduction="none")
        return {"first": weights * each, "second": 0.25 * weights * each.square()}

    def weight(self, batch: Batch) -> Tensor:
        return (batch["labels"] + 1).float()


def whole_batch(damaged: bool) -> Batch:
    """A global batch in float64; where `damaged`, two of its samples do not count."""
    g = torch.Generator().manual_seed(3)
    labels = torch.tensor([0, 3, 1, 3, 3, 0, 0, 2, 1, 0, 3, 2])
    inputs = torch.randn(BATCH, 1, 8, 8, generator=g, dtype=torch.float64)
    weights = {"weights": torch.tensor([1.0] * 3 + [0] + [1] * 6 + [0, 1])} if damaged else {}
    return Batch({"inputs": inputs, "labels": labels} | weights)


def one_step(bn_batch: int, damaged: bool, ranks: Ranks) -> tuple[Tensor, dict[str, Tensor]]:
    """This rank's part of the loss, and the gradients of the global batch."""
    recipe = Recipe(
        name="test",
        data="none",
        model=SPEC,
        preprocessing=Preprocessing(resize=8, crop=8, color="L", mean=(0.3,), std=(0.4,)),
        batch=BATCH,
        bn_batch=bn_batch,
        steps=1,
        precision="fp32",
    )
    network = create(SPEC, seed=1).double()
    training = Training(recipe, environment.choose("cpu", "fp32"), WeightedTask(), network, BATCH, ranks)
    loss = training.accumulate(whole_batch(damaged).rows(training.rows))
    gradients = {name: value.grad for name, value in network.named_parameters() if value.grad is not None}
    return loss, gradients


def save_steps(file: Path, bn_batches: Sequence[int]) -> None:
    """Saves a step of the ranks on which this is called, for each ghost batch, without and with damaged samples."""
    with process_group("cpu") as (ranks, _):
        found: dict[tuple[int, bool], Any] = {}
        for bn_batch in bn_batches:
            for damaged in (False, True):
                loss, gradients = one_step(bn_batch, damaged, ranks)
                found[bn_batch, damaged] = float(ranks.sum(loss)), gradients
        if ranks.is_main:
            torch.save(found, file)
