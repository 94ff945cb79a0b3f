"""The one training loop.

A step is a list of statistics groups: the global batch is cut into groups of samples that share batch-norm
statistics; each is run on its own, its gradient weighted by its samples. With one group a step, that is the usual
training step; with several, gradient accumulation. Nothing in a step waits for the device.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from resnets import draws
from resnets.data.batches import Batch, Batches
from resnets.errors import TrainingError
from resnets.evaluation.score import Scores
from resnets.nn.stochastic import Stochastic, deal
from resnets.tasks.task import Task
from resnets.training import optimizers, schedules
from resnets.training.ema import EMA
from resnets.training.environment import Environment
from resnets.training.recipe import Recipe
from resnets.training.run_folder import Event, Listener
from resnets.training.schedules import Plateau, PlateauState

LOGGED_STEPS = 2000  # a run logs no more steps than this


class Training:
    """A network being trained: everything that changes from step to step.

    Args:
        network: on its device, with the weights to start from.
        samples: size of the training set.
    """

    def __init__(self, recipe: Recipe, environment: Environment, task: Task, network: nn.Module, samples: int) -> None:
        self.recipe = recipe
        self.task = task
        self.device = torch.device(environment.device)
        self.precision = environment.precision
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = optimizers.build(recipe.optimizer, self.network)
        self.ema = EMA(self.network, recipe.ema) if recipe.ema is not None else None
        self.plateau = PlateauState()
        self.steps_done = 0
        self.total_steps = recipe.total_steps(samples)
        self.warmup_steps = recipe.steps_at(recipe.warmup.epochs, samples) if recipe.warmup else 0
        self._draws_keys = any(isinstance(m, Stochastic) for m in self.network.modules())

    @property
    def evaluated_network(self) -> nn.Module:
        """The weights that are evaluated and saved: the average where there is one."""
        return self.ema.network if self.ema else self.network

    def learning_rate(self, step: int) -> float:
        """The rate of `step`, from 0."""
        recipe = self.recipe
        return (
            recipe.optimizer.lr
            * schedules.factor(recipe.schedule, step / self.total_steps)
            * schedules.warmup_factor(recipe.warmup, step, self.warmup_steps)
            * self.plateau.factor
        )

    def step(self, batch: Batch) -> Tensor:
        """One optimiser step on the global batch; returns its mean loss, still on the device."""
        self.network.train()
        size = len(batch["labels"])
        group = self.recipe.group or size
        keys = self._keys(size)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for first in range(0, size, group):
            rows = slice(first, first + group)
            if keys is not None:
                deal(self.network, keys[rows])
            part = {name: value[rows] for name, value in batch.items()}
            with self._autocast():
                outputs = self.network(part["images"].contiguous(memory_format=torch.channels_last))
            loss = self.task.loss(outputs, part).sum() / size
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = self.learning_rate(self.steps_done)
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm, foreach=True)
        self.optimizer.step()
        self.steps_done += 1
        if self.ema:
            self.ema.update(self.network, self.steps_done)
        return total

    def observe(self, scores: Scores) -> None:
        """Takes an evaluation into account where the schedule asks for it."""
        if isinstance(self.recipe.schedule, Plateau):
            self.plateau.update(self.recipe.schedule, float(scores.metrics["loss"]))

    def _keys(self, size: int) -> Tensor | None:
        """(size,) keys of the network's own draws, one a sample of the global batch."""
        if not self._draws_keys:
            return None
        g = draws.generator(self.recipe.seed, "network", self.steps_done)
        return torch.from_numpy(g.integers(0, 2**63 - 1, size)).to(self.device, non_blocking=True)

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)


def evaluation_steps(recipe: Recipe, samples: int) -> set[int]:
    """The step counts after which the run is evaluated; the last is always among them."""
    total = recipe.total_steps(samples)
    last = math.floor(total * recipe.batch / samples / recipe.evaluate_every)
    marks = (recipe.steps_at(recipe.evaluate_every * i, samples) for i in range(1, last + 1))
    return {m for m in marks if m <= total} | {total}


def run(training: Training, batches: Batches, evaluate: Callable[[], Scores], listeners: Sequence[Listener]) -> Scores:
    """Trains to the end; returns the scores of the final weights.

    Args:
        evaluate: scores the weights as they are.
        listeners: called with every event.

    Raises:
        TrainingError: the loss is no longer finite.
    """

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    recipe, total, samples = training.recipe, training.total_steps, batches.order.samples
    marks = evaluation_steps(recipe, samples)
    log_every = max(1, min(50, samples // recipe.batch), math.ceil(total / LOGGED_STEPS))
    losses: list[Tensor] = []
    clock = time.perf_counter()
    scores: Scores | None = None
    for batch in batches.between(training.steps_done, total):
        rate = training.learning_rate(training.steps_done)
        losses.append(training.step(batch))
        step = training.steps_done
        epoch = step * recipe.batch / samples
        if step % log_every == 0 or step in marks:
            loss = float(torch.stack(losses).mean())
            now = time.perf_counter()
            speed = len(losses) * recipe.batch / (now - clock)
            tell({"event": "step", "step": step, "epoch": epoch, "loss": loss, "lr": rate, "images_per_second": speed})
            if not math.isfinite(loss):
                raise TrainingError(
                    f"The loss is no longer finite (steps {step - len(losses) + 1} to {step}). "
                    "Lower optimizer.lr, add warmup, or set clip_norm=1."
                )
            losses, clock = [], now
        if step in marks:
            scores = evaluate()
            training.observe(scores)
            figures = {k: v for k, v in scores.summary().items() if not isinstance(v, dict)}
            tell({"event": "evaluation", "step": step, "epoch": epoch, **figures})
            clock = time.perf_counter()
    assert scores is not None
    return scores
