"""Batch norm over ghost batches: their size, and running statistics combined over ghost batches and ranks.

A ghost batch is the samples that share batch-norm statistics (Hoffer et al. 2017, 1705.08741). A step runs its ghost
batches in order, one after another or on several ranks, and comes to the running statistics of one process.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnets.core.devices import copy_all
from resnets.core.errors import UsageError
from resnets.core.units import show_count
from resnets.tasks.forward import forward
from resnets.training.distributed import Ranks
from resnets.training.frozen_parts import batch_norms
from resnets.training.recipe import Recipe


def bn_batch_size(recipe: Recipe, world: int) -> int:
    """Returns the samples of a ghost batch: the recipe's `bn_batch`, or a rank's share of the batch.

    Raises:
        UsageError: the batch cannot be divided equally, or `world` ranks cannot divide the ghost batches equally.
    """
    if recipe.bn_batch is None:
        least = recipe.least_bn_batch
        if recipe.batch % world or recipe.batch // world < least:
            raise UsageError(
                f"batch {recipe.batch} cannot be divided equally among {world} ranks, with "
                f"{show_count(least, 'sample')} or more each: set batch or bn_batch."
            )
        return recipe.batch // world
    count = recipe.batch // recipe.bn_batch
    if count < world and (world % count or recipe.bn_batch % (world // count)):
        raise UsageError(
            f"{world} ranks cannot divide the {count} ghost batches of {recipe.bn_batch} in batch {recipe.batch} "
            f"equally: set bn_batch={recipe.batch // world} or smaller, or another batch."
        )
    return recipe.bn_batch


class RunningStatistics:
    """The running means and variances of a network's batch norms, over the steps of a training run.

    Args:
        momentum: of all norms.
        ghost_batches: how many a step has, over all ranks.
        micro_batches: those of a step that this rank runs, by number over all ranks.
        ranks_per_ghost_batch: how many ranks run one ghost batch together, a micro-batch each.
    """

    def __init__(
        self,
        network: nn.Module,
        ranks: Ranks,
        *,
        momentum: float,
        ghost_batches: int,
        micro_batches: range,
        ranks_per_ghost_batch: int,
    ) -> None:
        self.ranks = ranks
        self.momentum = momentum
        self.ghost_batches = ghost_batches
        self.micro_batches = micro_batches
        self.ranks_per_ghost_batch = ranks_per_ghost_batch
        self.choose(batch_norms(network))

    def choose(self, norms: Sequence[_BatchNorm]) -> None:
        """Sets which norms are updated in the next steps; the others are frozen, and stay to the last bit."""
        self._norms = norms
        self._buffers = _buffers(norms)

    def values(self) -> Tensor | None:
        """Returns a copy of all of them in one vector, or None where no batch norm is updated."""
        return torch.cat(self._buffers) if self._buffers else None

    @torch.no_grad()
    def combine(self, before: Tensor | None, bad: Tensor) -> None:
        """Sets them to what one process would have that ran all ghost batches of the step in order.

        A ghost batch moves them from r to (1 - m) r + m s. That is linear, so what each rank added can be summed, and
        what it added decays with every ghost batch that comes later. Ranks that share a ghost batch have all added
        the same.

        Args:
            before: `values` before the step.
            bad: a boolean scalar on the device; where it is true, they are set back to `before`.
        """
        if before is None:
            return
        after = torch.cat(self._buffers)
        count = self.ghost_batches
        if self.ranks.world > 1:
            keep, sharing = 1 - self.momentum, self.ranks_per_ghost_batch
            later = count - math.ceil(self.micro_batches.stop / sharing)
            own = (after - keep ** len(self.micro_batches) * before) / sharing
            after = keep**count * before + self.ranks.sum(own * keep**later)
        _set(self._buffers, torch.where(bad, before, after))
        for norm in self._norms if count != len(self.micro_batches) else ():
            assert norm.num_batches_tracked is not None
            norm.num_batches_tracked += count - len(self.micro_batches)


@torch.no_grad()
def precise_bn(network: nn.Module, micro_batches: Iterable[Tensor], ranks: Ranks, share: float) -> None:
    """Replaces the running statistics of `network` by the mean of those of each micro-batch.

    The network computes in float32, everything but batch norm in evaluation mode, in which it is left. Norms that its
    forward pass does not reach, such as those of a head for the loss alone, keep what they have.

    Args:
        micro_batches: the images (N, C, H, W) that this rank runs, on the network's device.
        share: this rank's share of the samples of all ranks.
    """
    norms = batch_norms(network)
    if not norms:
        return
    network.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.zero_()
        norm.momentum = None  # torch then averages over all batches alike; the first replaces what was there
        norm.train()
    for images in micro_batches:
        forward(network, images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    if ranks.world > 1:
        buffers = _buffers(norms)
        _set(buffers, ranks.sum(torch.cat(buffers) * share))


def _buffers(norms: Iterable[_BatchNorm]) -> list[Tensor]:
    """Their running means and variances."""
    return [b for m in norms for b in (m.running_mean, m.running_var) if b is not None]


def _set(buffers: list[Tensor], values: Tensor) -> None:
    """Copies `values`, one vector, into `buffers`."""
    copy_all(buffers, torch.split(values, [len(b) for b in buffers]))
