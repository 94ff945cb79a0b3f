"""One optimiser step, and everything that changes from step to step.

The global batch of a step is cut into ghost batches, which are samples that share batch-norm statistics. A rank runs
its ghost batches one after another, adding up gradients that are weighted by samples; where there are more ranks than
ghost batches, each runs a micro-batch, a part of one, and batch norm is synchronised between them. With one ghost batch
that is the usual training step, with several it is gradient accumulation. Nothing in a step waits for the device.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from resnets.artifacts.pretrained_head import ClassifierHead
from resnets.core import rng
from resnets.core.devices import abilities, float64_device, to_device
from resnets.data.loader import Batches
from resnets.modalities.batch import Batch
from resnets.nn.stochastic import Stochastic, set_rng_keys
from resnets.tasks.base import Task
from resnets.tasks.forward import place
from resnets.training import optimizers, schedules
from resnets.training.averages import average_for
from resnets.training.batch_norm import RunningStatistics, bn_batch_size, precise_bn
from resnets.training.cuda_graph import CUDAGraphStep
from resnets.training.distributed import Ranks
from resnets.training.environment import Environment
from resnets.training.events import Event
from resnets.training.fine_tuning import FineTuning
from resnets.training.frozen_parts import FrozenParts
from resnets.training.learner import Learner
from resnets.training.length import PlannedLength, RunLength
from resnets.training.probed_head import fit_probe
from resnets.training.recipe import Recipe
from resnets.training.schedules import Plateau, PlateauState
from resnets.training.sync_batch_norm import synchronize
from resnets.training.weight_gradients import on_small_maps
from resnets.training.whitening import whiten_stem


class Training:
    """A network being trained: everything that changes from step to step.

    Args:
        network: with the weights to start from; it is moved to the environment's device.
        samples: size of the training set.
        first_step: steps that were done before the recipe begins; step numbers continue from there.
        planned: the lengths of a run with a time budget so far.

    Raises:
        UsageError: the ranks cannot divide the ghost batches of a batch equally.
    """

    def __init__(
        self,
        recipe: Recipe,
        environment: Environment,
        task: Task,
        network: nn.Module,
        samples: int,
        ranks: Ranks | None = None,
        *,
        first_step: int = 0,
        planned: Sequence[PlannedLength] = (),
    ) -> None:
        self.recipe = recipe
        self.task = task
        self.ranks = ranks or Ranks()
        self.device = torch.device(environment.device)
        self.precision = environment.precision
        self.network = place(network, self.device)
        self._foreach = abilities(self.device).foreach
        self._frozen = FrozenParts(recipe.fine_tuning, self.network)
        self.optimizer = optimizers.build(
            recipe.optimizer, self.network, self.precision, layer_decay=recipe.fine_tuning.layer_decay
        )
        self.average = average_for(recipe, self.network)
        self.plateau = PlateauState()
        self.steps_done = 0
        self.given_head: ClassifierHead | None = None  # that the initial weights came with
        self.length = RunLength(recipe, samples, first_step=first_step, planned=planned)
        self.bn_batch = bn_batch_size(recipe, self.ranks.world)
        # The samples of a forward pass: a ghost batch, or a part of one if there are more ranks than ghost batches.
        self.micro_batch = min(self.bn_batch, recipe.batch // self.ranks.world)
        self.micro_batches = self.ranks.share(recipe.batch // self.micro_batch)
        ranks_per_ghost_batch = self.bn_batch // self.micro_batch
        if ranks_per_ghost_batch > 1:
            synchronize(self.network, self.ranks.subgroup(ranks_per_ghost_batch))
        self.learner = Learner(self.network, task, self.precision)
        self._frozen.set(self.length.share(first_step))
        self._wrapped = self.ranks.wrap(self.learner, self.device)
        self._on_small_maps = on_small_maps(self.device, self.precision)
        self._needs_rng_keys = any(isinstance(m, Stochastic) for m in self.network.modules())
        self._running_statistics = RunningStatistics(
            self.network, self.ranks, momentum=recipe.model.norm_momentum, micro_batches=self.micro_batches,
            ghost_batches=recipe.batch // self.bn_batch, ranks_per_ghost_batch=ranks_per_ghost_batch,
        )  # fmt: skip
        if recipe.fine_tuning != FineTuning():
            self._running_statistics.choose(self._frozen.updated_norms())
        # The first step whose gradient was not finite, or -1 (under "stop"); how many were left out (under "skip").
        self.first_bad = torch.tensor(-1, device=self.device)
        self.skipped = torch.tensor(0, device=self.device)
        # A run that was begun with a CUDA graph may be resumed on another device or on more ranks: then without one.
        captures = recipe.cuda_graph and self.device.type == "cuda" and self.ranks.world == 1
        self._graph_step = CUDAGraphStep(self._update, self.device) if captures else None

    @property
    def evaluated_network(self) -> nn.Module:
        """The weights that are evaluated and saved: the average if the recipe has one."""
        return self.average.network if self.average else self.network

    @property
    def total_steps(self) -> int:
        """Steps done when the run has ended, as planned now."""
        return self.length.total

    @property
    def rows(self) -> slice:
        """The samples of a global batch that this rank runs."""
        return slice(self.micro_batches.start * self.micro_batch, self.micro_batches.stop * self.micro_batch)

    def learning_rate(self, step: int) -> float:
        """Returns the learning rate of `step`, from 0."""
        return (
            self.recipe.optimizer.lr
            * schedules.factor(self.recipe.schedule, self.length.share(step))
            * self.length.warmup_factor(step)
            * self.plateau.factor
        )

    def step(self, batch: Batch) -> Tensor:
        """Does one optimiser step; returns this rank's part of the global batch's mean loss, still on the device.

        If the gradient is not finite, weights and running statistics stay as they were.

        Args:
            batch: this rank's rows of the global batch.
        """
        self._freeze()
        # A batch with weights is too rare to capture a graph for, and a ragged one never has the same shapes.
        update = self._update if "weights" in batch or batch.ragged else self._graph_step or self._update
        loss = update(self.with_rng_keys(batch), self.learning_rate(self.steps_done), self.steps_done)
        self.steps_done += 1
        if self.average:
            self.average.update(self.network, self.steps_done)
        return loss

    def _update(self, batch: Batch, rate: float | Tensor, number: int | Tensor) -> Tensor:
        """Does step `number` with a batch `with_rng_keys`; whatever it changes, it changes in place."""
        statistics = self._running_statistics.values()
        self.optimizer.zero_grad()
        loss = self.accumulate(batch)
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients, foreach=self._foreach)
        bad = ~norm.isfinite()
        if self.recipe.nonfinite == "skip":
            self.skipped += bad
        else:
            # Not by masked_fill_: on CUDA it reads a tensor's value on the host, which a CUDA graph cannot.
            self.first_bad += (bad & (self.first_bad < 0)) * (number - self.first_bad)
            bad = self.first_bad >= 0
        if self.recipe.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(
                self.network.parameters(), self.recipe.clip_norm, norm, foreach=self._foreach
            )
        self.optimizer.step(rate, found_inf=bad.float())
        self._running_statistics.combine(statistics, bad)
        return loss

    def with_rng_keys(self, batch: Batch) -> Batch:
        """Returns `batch` with "keys" (N,) int64 for the random choices that the network itself makes in the next
        step, one a sample; without them if it makes none."""
        if not self._needs_rng_keys:
            return batch
        g = rng.generator(self.recipe.seed, "network", self.steps_done)
        keys = g.integers(0, 2**63 - 1, self.recipe.batch)[self.rows]
        return batch | {"keys": to_device(keys, self.device)}

    def accumulate(self, batch: Batch) -> Tensor:
        """Adds the gradients of this rank's micro-batches to the network's; returns their part of the mean loss.

        Args:
            batch: `with_rng_keys`.
        """
        self._freeze()
        self._frozen.train()
        total = torch.zeros((), device=self.device)
        whole = self._global_weight(batch)
        for number in range(len(self.micro_batches)):
            part = batch.rows(slice(number * self.micro_batch, (number + 1) * self.micro_batch))
            if "keys" in part:
                set_rng_keys(self.network, part["keys"])
            last = number == len(self.micro_batches) - 1
            with self._exchanging_gradients(last), self.ranks.collective_errors(), self._on_small_maps:
                losses = functools.reduce(torch.add, self._wrapped(part).values())
                if "weights" in part:  # the other samples keep their share of the mean
                    losses = losses * part["weights"]
                loss = losses.sum() / (self.recipe.batch if whole is None else whole.to(losses))
                # DDP takes the mean over ranks; this makes it the sum.
                (loss * self.ranks.world).backward()  # type: ignore[no-untyped-call]
            total = total + loss.detach()  # as precise as the losses are
        return total

    def _global_weight(self, batch: Batch) -> Tensor | None:
        """What the sum of a global batch's losses is divided by, a float64 scalar; None for its number of samples."""
        weights = self.task.weight(batch)
        if weights is None:
            return None
        if "weights" in batch:
            weights = weights * batch["weights"]
        total = self.ranks.sum(weights.to(float64_device(self.device)).double().sum())
        return torch.where(total > 0, total, 1)

    @torch.no_grad()
    def prepare(self, batches: Batches) -> Event | None:
        """Before the first step: computes the filters of a stem that whitens, and fits the head if the recipe says so.

        Does nothing once steps were done. Returns an event for the log where the head was fitted.
        """
        if self.steps_done:
            return None
        event = None
        changed = whiten_stem(self.network, self.recipe, batches, self.micro_batch, self.ranks.sum)
        if self.recipe.fine_tuning.head == "probe":
            event = fit_probe(
                self.network, self.recipe, self.task, batches, self.ranks, self.precision, self.given_head
            )
        if self.average and (changed or event):
            self.average.begin(self.network)
        return event

    @torch.no_grad()
    def finish(self, batches: Batches) -> None:
        """After the last step: computes batch norm's statistics anew if the recipe has `precise_bn`."""
        if not self.recipe.precise_bn:
            return
        steps = math.ceil(self.recipe.precise_bn / self.recipe.batch)
        following = batches.between(self.total_steps, self.total_steps + steps)
        images = (part for batch in following for part in torch.split(batch["inputs"], self.micro_batch))
        share = len(self.micro_batches) * self.micro_batch / self.recipe.batch
        precise_bn(self.evaluated_network, images, self.ranks, share)

    def update_schedule(self, loss: float | None) -> None:
        """Passes the loss of an evaluation, None where none could be computed, to a schedule that depends on it."""
        if isinstance(self.recipe.schedule, Plateau):
            self.plateau.update(self.recipe.schedule, math.nan if loss is None else float(loss))

    def state(self) -> dict[str, Tensor]:
        """Returns every tensor that a later step depends on, by name."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        if self.average:
            tensors |= {f"average.{name}": value for name, value in self.average.kept.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{key}"] = value
        return tensors

    def restore(self, tensors: dict[str, Tensor], steps_done: int, plateau: PlateauState) -> None:
        """Restores what `state` returned after `steps_done` steps."""
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimizer": {}}
        for name, value in tensors.items():
            section, _, rest = name.partition(".")
            if section in parts:
                parts[section][rest] = value
        self.network.load_state_dict(parts["network"])
        if self.average:
            self.average.restore(parts["average"], self.network)
        parameters = dict(self.network.named_parameters())
        for name, value in parts["optimizer"].items():
            owner, _, key = name.rpartition(".")
            parameter = parameters[owner]
            same = value.shape == parameter.shape
            like = torch.empty_like(parameter).copy_(value) if same else value.to(parameter.device, copy=True)
            self.optimizer.state[parameter][key] = like.detach()
        self.steps_done = steps_done
        self.plateau = plateau
        self.first_bad.fill_(-1)

    def _freeze(self) -> None:
        """Freezes the parts that do not learn at the next step, and has DDP sum the gradients of the others alone."""
        if not self._frozen.set(self.length.share(self.steps_done)):
            return
        self._running_statistics.choose(self._frozen.updated_norms())
        if self.ranks.world > 1:
            self._wrapped = self.learner
            gc.collect()  # the hooks of the wrapper before, which is part of a cycle, go with it
            self._wrapped = self.ranks.wrap(self.learner, self.device)

    def _exchanging_gradients(self, last: bool) -> contextlib.AbstractContextManager[object]:
        """Ranks sum their gradients in the backward pass of the last micro-batch alone."""
        if last or self.ranks.world == 1:
            return contextlib.nullcontext()
        assert isinstance(self._wrapped, nn.parallel.DistributedDataParallel)
        return self._wrapped.no_sync()
