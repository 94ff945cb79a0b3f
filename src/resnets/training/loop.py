"""The one training loop.

A step is a list of statistics groups: the global batch is cut into groups of samples that share batch-norm
statistics; each is run on its own, its gradient weighted by its samples, and the running statistics are combined in
the order of the groups. With one group a step, that is the usual training step; with several, gradient accumulation;
ranks only decide who runs which group, or which piece of one (its statistics are then synchronised). Nothing in a
step waits for the device.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from resnets.core import rng
from resnets.core.devices import abilities, copy_all, memory_format, to_device
from resnets.core.errors import DataError, UsageError
from resnets.data.loader import Batch, Batches
from resnets.evaluation.scoring import Scores
from resnets.models.initialize import whiten
from resnets.nn.stochastic import Stochastic, set_rng_keys
from resnets.tasks.base import Task
from resnets.training import optimizers, schedules
from resnets.training.cuda_graph import CUDAGraphStep
from resnets.training.diagnosis import NonFiniteError, diagnose
from resnets.training.distributed import Ranks
from resnets.training.ema import EMA
from resnets.training.environment import Environment
from resnets.training.recipe import Recipe
from resnets.training.run_folder import Subscriber
from resnets.training.schedules import Plateau, PlateauState
from resnets.training.sync_batch_norm import synchronize

MAX_EVALUATIONS = 10**6
LOGGED_STEPS = 2000  # a run logs no more steps than this


class Training:
    """A network being trained: everything that changes from step to step.

    Args:
        network: on its device, with the weights to start from.
        samples: size of the training set.
        first_step: steps that were done before the recipe begins; they count on.

    Raises:
        UsageError: the groups of a batch cannot be shared among the ranks.
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
    ) -> None:
        self.recipe = recipe
        self.task = task
        self.ranks = ranks or Ranks()
        self.device = torch.device(environment.device)
        self.precision = environment.precision
        self.memory_format = memory_format(self.device)
        self.network = network.to(self.device, memory_format=self.memory_format)  # type: ignore[call-overload]
        self._foreach = abilities(self.device).foreach
        self.optimizer = optimizers.build(recipe.optimizer, self.network, self.precision)
        self.ema = EMA(self.network, recipe.ema) if recipe.ema is not None else None
        self.plateau = PlateauState()
        self.steps_done = 0
        self.first_step = first_step
        self.total_steps = first_step + recipe.total_steps(samples)
        self.evaluated_after = {first_step + step for step in evaluation_steps(recipe, samples)}
        self.warmup_steps = recipe.steps_at(recipe.warmup.epochs, samples) if recipe.warmup else 0
        self.bn_batch = bn_batch_size(recipe, self.ranks.world)
        # The samples of a group that one rank runs: all of them, or a part where there are more ranks than groups.
        self.micro_batch = min(self.bn_batch, recipe.batch // self.ranks.world)
        self.micro_batches = self.ranks.share(recipe.batch // self.micro_batch)
        if self.micro_batch < self.bn_batch:
            synchronize(self.network, self.ranks.subgroup(self.bn_batch // self.micro_batch))
        self._forward = self.ranks.wrap(self.network, self.device)
        self._needs_rng_keys = any(isinstance(m, Stochastic) for m in self.network.modules())
        self._norms = _batch_norms(self.network)
        self._running = _running(self._norms)
        # The first step whose gradient was not finite, or -1 (under "stop"); how many were left out (under "skip").
        self.first_bad = torch.tensor(-1, device=self.device)
        self.skipped = torch.tensor(0, device=self.device)
        # Resumed elsewhere, or on more ranks, what was captured is done as it is written.
        captures = recipe.cuda_graph and self.device.type == "cuda" and self.ranks.world == 1
        self._graph_step = CUDAGraphStep(self._move, self.device) if captures else None

    @property
    def evaluated_network(self) -> nn.Module:
        """The weights that are evaluated and saved: the average where there is one."""
        return self.ema.network if self.ema else self.network

    @property
    def rows(self) -> slice:
        """The samples of a global batch that this rank runs."""
        return slice(self.micro_batches.start * self.micro_batch, self.micro_batches.stop * self.micro_batch)

    def learning_rate(self, step: int) -> float:
        """The rate of `step`, from 0."""
        recipe = self.recipe
        own, length = step - self.first_step, self.total_steps - self.first_step
        return (
            recipe.optimizer.lr
            * schedules.factor(recipe.schedule, own / length)
            * schedules.warmup_factor(recipe.warmup, own, self.warmup_steps)
            * self.plateau.factor
        )

    def step(self, batch: Batch) -> Tensor:
        """One optimiser step; returns this rank's part of the global batch's mean loss, still on the device.

        Where the gradient is not finite, weights and running statistics stay as they were.

        Args:
            batch: this rank's rows of the global batch.
        """
        # A batch with weights is too rare to be captured for.
        move = self._graph_step if self._graph_step and "weights" not in batch else self._move
        loss = move(self.with_rng_keys(batch), self.learning_rate(self.steps_done), self.steps_done)
        self.steps_done += 1
        if self.ema:
            self.ema.update(self.network, self.steps_done)
        return loss

    def _move(self, batch: Batch, rate: float | Tensor, number: int | Tensor) -> Tensor:
        """Step `number` with a batch that was dealt its keys. All that it changes, it changes in place."""
        statistics = self._statistics()
        self.optimizer.zero_grad()
        loss = self.accumulate(batch)
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients, foreach=self._foreach)
        bad = ~norm.isfinite()
        if self.recipe.nonfinite == "skip":
            self.skipped += bad
        else:
            self.first_bad.masked_fill_(bad & (self.first_bad < 0), number)
            bad = self.first_bad >= 0
        if self.recipe.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(
                self.network.parameters(), self.recipe.clip_norm, norm, foreach=self._foreach
            )
        self.optimizer.step(rate, found_inf=bad.float())
        self._combine(statistics, bad)
        return loss

    def with_rng_keys(self, batch: Batch) -> Batch:
        """`batch` with `keys` of the network's own draws in the coming step, one a sample, where it draws."""
        if not self._needs_rng_keys:
            return batch
        g = rng.generator(self.recipe.seed, "network", self.steps_done)
        keys = g.integers(0, 2**63 - 1, self.recipe.batch)[self.rows]
        return batch | {"keys": to_device(keys, self.device)}

    def accumulate(self, batch: Batch) -> Tensor:
        """Adds the gradient of this rank's pieces to the network's; returns their part of the mean loss.

        Args:
            batch: `with_rng_keys`.
        """
        self.network.train()
        total = torch.zeros((), device=self.device)
        for number in range(len(self.micro_batches)):
            rows = slice(number * self.micro_batch, (number + 1) * self.micro_batch)
            part = {name: value[rows] for name, value in batch.items()}
            if "keys" in part:
                set_rng_keys(self.network, part["keys"])
            last = number == len(self.micro_batches) - 1
            with self._synchronizing(last), self.ranks.collective_errors():
                with self.autocast():
                    outputs = self._forward(part["images"].contiguous(memory_format=self.memory_format))
                losses = self.task.loss(outputs, part)
                if "weights" in part:  # the others keep their share of the mean
                    losses = losses * part["weights"]
                loss = losses.sum() / self.recipe.batch
                # DDP takes the mean over ranks where the sum is meant.
                (loss * self.ranks.world).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    @torch.no_grad()
    def prepare(self, batches: Batches) -> None:
        """A stem that whitens gets its filters, unless steps were done, which had them."""
        if self.steps_done or not whiten_stem(self.network, self.recipe, batches, self.micro_batch, self.ranks.sum):
            return
        if self.ema:
            self.ema.network.load_state_dict(self.network.state_dict())

    @torch.no_grad()
    def finish(self, batches: Batches) -> None:
        """After the last step: batch norm's statistics averaged anew, where the recipe asks for that.

        Each is the mean over groups of what the group had, in float32, with everything else as in evaluation.
        """
        network = self.evaluated_network
        norms = _batch_norms(network)
        if not (self.recipe.precise_bn and norms):
            return
        network.eval()
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch's word for the mean of all that comes
            norm.train()
        steps = math.ceil(self.recipe.precise_bn / self.recipe.batch)
        for batch in batches.between(self.total_steps, self.total_steps + steps):
            for images in torch.split(batch["images"], self.micro_batch):
                network(images.contiguous(memory_format=self.memory_format))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        if self.ranks.world > 1:
            running = _running(norms)
            share = len(self.micro_batches) * self.micro_batch / self.recipe.batch
            _set(running, self.ranks.sum(torch.cat(running) * share))

    def update_schedule(self, scores: Scores) -> None:
        """Takes an evaluation into account where the schedule asks for it."""
        if isinstance(self.recipe.schedule, Plateau):
            self.plateau.update(self.recipe.schedule, float(scores.metrics["loss"]))

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context in which the forward pass has this run's precision."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def state(self) -> dict[str, Tensor]:
        """Every tensor that a later step depends on, by name."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        if self.ema:
            tensors |= {f"average.{name}": value for name, value in self.ema.network.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{key}"] = value
        return tensors

    def restore(self, tensors: dict[str, Tensor], steps_done: int, plateau: PlateauState) -> None:
        """Goes back to where `state` was taken."""
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimizer": {}}
        for name, value in tensors.items():
            place, _, rest = name.partition(".")
            if place in parts:
                parts[place][rest] = value
        self.network.load_state_dict(parts["network"])
        if self.ema:
            self.ema.network.load_state_dict(parts["average"])
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

    def _statistics(self) -> Tensor | None:
        """All running means and variances in one vector."""
        return torch.cat(self._running) if self._running else None

    @torch.no_grad()
    def _combine(self, before: Tensor | None, bad: Tensor) -> None:
        """Running statistics as if one process had run all groups in their order; as before, where the step is bad.

        A group moves them from r to (1 - m) r + m s, so what a rank adds is linear, and what it added decays with
        every group that comes after it. Ranks that share a group have all added the same.
        """
        if before is None:
            return
        after = self._statistics()
        assert after is not None
        count = self.recipe.batch // self.bn_batch
        if self.ranks.world > 1:
            keep = 1 - self.recipe.model.norm_momentum
            sharing = self.bn_batch // self.micro_batch
            later = count - math.ceil(self.micro_batches.stop / sharing)
            own = (after - keep ** len(self.micro_batches) * before) / sharing
            after = keep**count * before + self.ranks.sum(own * keep**later)
        _set(self._running, torch.where(bad, before, after))
        for norm in self._norms if count != len(self.micro_batches) else ():
            assert norm.num_batches_tracked is not None
            norm.num_batches_tracked += count - len(self.micro_batches)

    def _synchronizing(self, last: bool) -> contextlib.AbstractContextManager[object]:
        """Ranks add up their gradients in the backward pass of their last group alone."""
        if last or self.ranks.world == 1:
            return contextlib.nullcontext()
        assert isinstance(self._forward, nn.parallel.DistributedDataParallel)
        return self._forward.no_sync()


def whiten_stem(
    network: nn.Module,
    recipe: Recipe,
    batches: Batches,
    micro_batch: int,
    total: Callable[[Tensor], Tensor] = lambda t: t,
) -> bool:
    """Gives a stem that whitens its filters, from the first training images, `micro_batch` of them at a time.

    Returns whether there is such a stem.
    """
    steps = math.ceil(recipe.initialization.whiten / recipe.batch)
    if not steps or recipe.model.stem != "whitened":
        return False
    whiten(network, (part for b in batches.between(0, steps) for part in torch.split(b["images"], micro_batch)), total)
    return True


def _batch_norms(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def _running(norms: Iterable[nn.modules.batchnorm._BatchNorm]) -> list[Tensor]:
    """Their running means and variances."""
    return [b for m in norms for b in (m.running_mean, m.running_var) if b is not None]


def _set(parts: list[Tensor], values: Tensor) -> None:
    """`values`, one vector, into the vectors `parts`."""
    copy_all(parts, torch.split(values, [len(b) for b in parts]))


def bn_batch_size(recipe: Recipe, world: int) -> int:
    """Samples of a statistics group: the recipe's, or a rank's share of the batch.

    Raises:
        UsageError: the batch has no equal shares, or a group is to be shared by ranks that do not divide it.
    """
    if recipe.bn_batch is None:
        if recipe.batch % world or recipe.batch // world < 2:
            raise UsageError(
                f"batch {recipe.batch} has no equal shares of 2 or more for {world} ranks: set batch or group."
            )
        return recipe.batch // world
    groups = recipe.batch // recipe.bn_batch
    if groups < world and (world % groups or recipe.bn_batch % (world // groups)):
        raise UsageError(
            f"{world} ranks cannot share the {groups} groups of {recipe.bn_batch} in batch {recipe.batch} evenly: "
            f"set bn_batch={recipe.batch // world} or smaller, or another batch."
        )
    return recipe.bn_batch


def evaluation_steps(recipe: Recipe, samples: int) -> set[int]:
    """The step counts after which the run is evaluated; the last is always among them.

    Raises:
        UsageError: more than `MAX_EVALUATIONS`.
    """
    total = recipe.total_steps(samples)
    count = total * recipe.batch / samples / recipe.evaluate_every
    if count > MAX_EVALUATIONS:
        raise UsageError(f"evaluate_every={recipe.evaluate_every:g} asks for {count:.3g} evaluations: increase it.")
    marks = (recipe.steps_at(recipe.evaluate_every * i, samples) for i in range(1, math.floor(count) + 1))
    return {m for m in marks if m <= total} | {total}


class Callback(Protocol):
    """Looks after a run between its steps: checkpoints, and stopping when asked."""

    def after_step(self, losses: list[Tensor], failed: DataError | None = None) -> None:
        """Called after each step; `losses` are those not logged yet, `failed` says why this rank will have no batch."""
        ...

    def before_evaluation(self) -> None: ...

    def after_evaluation(self, scores: Scores) -> None: ...


class Lookahead:
    """Iterates over batches, and can tell before they are asked for whether they can be made.

    Args:
        depth: how many batches it looks ahead.
    """

    def __init__(self, batches: Iterator[Batch], depth: int) -> None:
        self._batches = batches
        self._depth = depth
        self._made: deque[Batch | Exception] = deque()

    def __iter__(self) -> Lookahead:
        return self

    def tta_crops(self) -> DataError | None:
        """Makes the next batches; returns an error among them, which is raised again when that batch is asked for."""
        while len(self._made) < self._depth and not (self._made and isinstance(self._made[-1], Exception)):
            try:
                self._made.append(next(self._batches))
            except (DataError, StopIteration) as error:
                self._made.append(error)
        return next((each for each in self._made if isinstance(each, DataError)), None)

    def __next__(self) -> Batch:
        if not self._made:
            self.tta_crops()
        found = self._made.popleft()
        if isinstance(found, Exception):
            raise found
        return found


def run(
    training: Training,
    batches: Batches,
    evaluate: Callable[[], Scores],
    emit: Subscriber,
    keeper: Callback | None = None,
    losses: list[Tensor] | None = None,
    evaluation_pending: bool = False,
) -> Scores:
    """Trains to the end; returns the scores of the final weights.

    Args:
        evaluate: scores the weights as they are.
        emit: called with every event.
        losses: of steps that were done but not logged when the run was cut off.
        evaluation_pending: whether the run was cut off before the evaluation of its last step.

    Raises:
        TrainingError: a gradient is not finite, and the recipe says to stop.
    """
    recipe, total, samples = training.recipe, training.total_steps, batches.order.samples
    marks = training.evaluated_after
    log_every = max(1, min(50, samples // recipe.batch), math.ceil(total / LOGGED_STEPS))
    # Reading the flag waits for the device: at once where that is free, else with the log.
    look_every = 1 if training.device.type == "cpu" else log_every
    losses = losses or []
    clock, timed = time.perf_counter(), 0
    scores: Scores | None = None

    def evaluate_step() -> Scores:
        step = training.steps_done
        if keeper:
            keeper.before_evaluation()
        if step == total:
            training.finish(batches)
        scores = evaluate()
        training.update_schedule(scores)
        figures = {k: v for k, v in scores.summary().items() if not isinstance(v, dict)}
        emit({"event": "evaluation", "step": step, "epoch": step * recipe.batch / samples, **figures})
        if keeper:
            keeper.after_evaluation(scores)
        return scores

    if evaluation_pending:
        scores = evaluate_step()
        clock = time.perf_counter()
        if keeper:
            keeper.after_step(losses)
    # Ranks hear of one another's votes a step later, so one that fails has to know of it two steps before.
    upcoming = Lookahead(batches.between(training.steps_done, total), depth=1 if training.ranks.world == 1 else 2)
    for batch in upcoming:
        rate = training.learning_rate(training.steps_done)
        losses.append(training.step(batch))
        timed += 1
        step = training.steps_done
        epoch = step * recipe.batch / samples
        if (step % look_every == 0 or step in marks) and (bad := int(training.first_bad)) >= 0:
            raise NonFiniteError(diagnose(training, batches, bad).advice())
        if step % log_every == 0 or step in marks:
            loss = float(training.ranks.sum(torch.stack(losses)).mean())
            now = time.perf_counter()
            speed = timed * recipe.batch / (now - clock)
            emit({"event": "step", "step": step, "epoch": epoch, "loss": loss, "lr": rate, "images_per_second": speed})
            losses, clock, timed = [], now, 0
        if step in marks:
            scores = evaluate_step()
            clock = time.perf_counter()
        if keeper:
            keeper.after_step(losses, upcoming.tta_crops())
    return scores if scores is not None else evaluate()
