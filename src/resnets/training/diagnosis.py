"""Diagnosis of one step: where a value first is not finite, and which images were in the batch.

A batch is a function of the step, so any step can be run again (`resnets replay RUN --step N`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resnets.core.display import names
from resnets.core.errors import FileError, TrainingError
from resnets.core.renamed import renamed_fields
from resnets.data.loader import Batches
from resnets.training.events import Event
from resnets.training.schedules import Plateau
from resnets.training.step import Training

_NAMED = 5


class NonFiniteError(TrainingError):
    """A gradient that is not finite."""


@renamed_fields
@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What one step did.

    Args:
        step: its number, from 1.
        loss, gradient_norm: of this rank's part of the batch.
        layer: where a value first was not finite, in the order of the forward pass, or None.
        during: "forward" (the layer's output) or "backward" (the gradient of its weights).
        images: names of the batch's images; those whose values are not finite come first, if only some of them are.
        blamed: how many of `images` those are.
        notes: remarks on how the data was read, a line each.
    """

    step: int
    loss: float
    gradient_norm: float
    layer: str | None
    during: str | None
    images: tuple[str, ...]
    blamed: int
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        where = f", not finite in the {self.during} pass of {self.layer}" if self.layer else ""
        return (
            f"Diagnosis(step {self.step}, loss {self.loss:.6g}, gradient norm {self.gradient_norm:.6g}{where}; images "
            f"{names(self.images, 3)})"
        )

    def advice(self) -> str:
        """Returns a message on what happened and what to do."""
        where = (
            f"first in the {self.during} pass of {self.layer}" if self.layer else "in no single layer when run again"
        )
        named = ", ".join(self.images[: min(self.blamed, _NAMED) or _NAMED])
        cause = "because of" if self.blamed else "its batch begins with"
        return (
            f"Step {self.step} has a gradient that is not finite, {where}; {cause} {named}. Lower optimizer.lr, add "
            "warmup, set clip_norm=1, or leave such steps out with nonfinite=skip. "
            f"See it again with resnets replay RUN --step {self.step}."
        )


def repeat(training: Training, batches: Batches, end: int, history: Sequence[Event], *, pending: bool) -> None:
    """Makes the steps after those that are done, up to `end`, again.

    A schedule that depends on evaluations gets the losses that these had in the run.

    Args:
        history: the events of the run.
        pending: whether the evaluation after the steps that are done is still to come.

    Raises:
        FileError: the log lacks one of these evaluations.
    """
    losses = {event["step"]: event.get("loss") for event in history if event["event"] == "evaluation"}

    def evaluated() -> None:
        if not isinstance(training.recipe.schedule, Plateau):
            return
        if training.steps_done not in losses:
            raise FileError(
                f"The log has no evaluation after step {training.steps_done}, and the learning rate depends on it."
            )
        training.update_schedule(losses[training.steps_done])

    if pending:
        evaluated()
    for batch in batches.between(training.steps_done, end):
        training.step(batch)
        if training.steps_done in training.length.evaluated_after:
            evaluated()


def diagnose(training: Training, batches: Batches, step: int) -> Diagnosis:
    """Runs `step` (from 0) forward and backward with the present weights; changes nothing but gradients.

    Running statistics are restored afterwards.
    """
    network = training.network
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    batch = batches.make(step)
    seen: list[tuple[str, Tensor, int]] = []
    passes = [0]  # forward passes that have begun, one a micro-batch
    hooks = [
        module.register_forward_hook(_record_nonfinite(name, seen, passes))
        for name, module in network.named_modules()
        if not any(module.children())
    ]
    hooks.append(training.learner.register_forward_pre_hook(lambda module, inputs: _count(passes)))
    training.optimizer.zero_grad()
    done, training.steps_done = training.steps_done, step
    try:
        loss = float(training.accumulate(training.with_rng_keys(batch)))
    finally:
        training.steps_done = done
        for hook in hooks:
            hook.remove()
        for name, value in buffers.items():
            network.get_buffer(name).copy_(value)
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    layer = during = None
    samples, first = torch.zeros(0, dtype=torch.bool), 0
    if seen:
        layer, samples, first = seen[0]
        during = "forward"
    else:
        nonfinite = [name for name, gradient in gradients.items() if not gradient.isfinite().all()]
        if nonfinite:  # gradients of earlier layers come through the last of these
            layer, during = nonfinite[-1].rpartition(".")[0], "backward"
    ids = batch["ids"].cpu()[first * training.micro_batch :][: training.micro_batch]
    of_images = len(samples) == len(ids)  # else of regions of them
    blamed = ids[samples.cpu()].tolist() if of_images and 0 < int(samples.sum()) < len(samples) else []
    others = [i for i in batch["ids"].tolist() if i not in set(blamed)]
    return Diagnosis(
        step=step + 1,
        loss=loss,
        gradient_norm=float(torch.nn.utils.get_total_norm(list(gradients.values()))),
        layer=layer,
        during=during,
        images=tuple(batches.dataset.name(i) for i in [*blamed, *others]),
        blamed=len(blamed),
    )


def _count(passes: list[int]) -> None:
    passes[0] += 1


def _record_nonfinite(name: str, seen: list[tuple[str, Tensor, int]], passes: list[int]):  # type: ignore[no-untyped-def]
    """Returns a hook that records layers whose output is not finite, for which samples, and in which micro-batch."""

    def hook(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and not output.isfinite().all():
            seen.append((name, ~output.flatten(1).isfinite().all(1), passes[0] - 1))

    return hook
