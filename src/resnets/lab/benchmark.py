"""This machine's rates for a network: `resnets benchmark`."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from resnets import draws
from resnets.models.counts import multiply_adds
from resnets.models.initialize import create
from resnets.models.spec import Spec
from resnets.preprocessing import Preprocessing
from resnets.recipes import paper
from resnets.tasks.classification import Classification
from resnets.training import environment, memory
from resnets.training.loop import Training
from resnets.training.recipe import Precision


@dataclass(frozen=True)
class TrainingRate:
    """What training steps took.

    Args:
        images_per_second: median over the steps but the first, where there are more.
        seconds: of each step.
        peak_memory_bytes: the most that the process held so far (on a GPU: that torch allocated there).
        predicted_peak_memory_bytes, predicted_parts: what `models.memory` says beforehand.
        recomputed: lengths of the segments that are computed twice, by stage.
    """

    batch: int
    images_per_second: float
    seconds: tuple[float, ...]
    loss: float
    peak_memory_bytes: int
    predicted_peak_memory_bytes: int
    predicted_parts: dict[str, int]
    recomputed: dict[str, tuple[int, ...]]
    environment: dict[str, Any]


def training_rate(
    spec: Spec,
    *,
    batch: int,
    size: int,
    steps: int,
    device: str,
    precision: Precision,
    memory_limit: str | None,
    seed: int = 0,
) -> TrainingRate:
    """Whole training steps (the paper's SGD) on random pictures.

    Raises:
        UsageError: the limit cannot be kept with this batch.
    """
    chosen = environment.choose(device, precision, multiply_adds(spec, size) * batch)
    recipe = replace(
        paper.cifar(),
        name="benchmark",
        model=spec,
        preprocessing=Preprocessing(resize=size, crop=size),
        normalize="given",
        batch=batch,
        steps=steps,
        memory_limit=memory_limit,
    )
    network = create(spec, seed=seed)
    with environment.threads(chosen.threads):
        training = Training(recipe, chosen, Classification(), network, samples=batch)
        g = draws.generator(seed, "benchmark")
        images = torch.from_numpy(g.standard_normal((batch, spec.channels, size, size), "float32"))
        labels = torch.from_numpy(g.integers(0, spec.classes, batch))
        whole = {"images": images.to(training.device), "labels": labels.to(training.device)}
        expected = memory.keep_within_limit(training)
        seconds, loss = [], 0.0
        for _ in range(steps):
            started = time.perf_counter()
            loss = float(training.step(whole))  # reading it waits for the device
            seconds.append(time.perf_counter() - started)
    return TrainingRate(
        batch=batch,
        images_per_second=batch / statistics.median(seconds[1:] or seconds),
        seconds=tuple(seconds),
        loss=loss,
        peak_memory_bytes=memory.highest(training.device),
        predicted_peak_memory_bytes=expected.peak,
        predicted_parts=vars(expected),
        recomputed=dict(network.recomputed),
        environment=asdict(chosen),
    )


@dataclass(frozen=True)
class InferenceRate:
    """What forward passes took, in evaluation, by torch as it comes."""

    batch: int
    images_per_second: float
    milliseconds_median: float
    milliseconds_95: float
    environment: dict[str, Any]


def inference_rate(
    spec: Spec, *, batch: int, size: int, steps: int, device: str, precision: Precision, seed: int = 0
) -> InferenceRate:
    """Forward passes on random pictures; the first is not counted where there are more."""
    chosen = environment.choose(device, precision, multiply_adds(spec, size) * batch)
    at = torch.device(chosen.device)
    network = create(spec, seed=seed).to(at, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    g = draws.generator(seed, "benchmark")
    images = torch.from_numpy(g.standard_normal((batch, spec.channels, size, size), "float32")).to(at)
    images = images.contiguous(memory_format=torch.channels_last)
    seconds = []
    with environment.threads(chosen.threads), torch.inference_mode():
        for _ in range(steps):
            started = time.perf_counter()
            with torch.autocast(at.type, torch.bfloat16, enabled=chosen.precision == "bf16"):
                network(images).float().sum().item()  # reading it waits for the device
            seconds.append(time.perf_counter() - started)
    counted = sorted(seconds[1:] or seconds)
    return InferenceRate(
        batch=batch,
        images_per_second=batch / statistics.median(counted),
        milliseconds_median=1000 * statistics.median(counted),
        milliseconds_95=1000 * counted[min(len(counted) - 1, round(0.95 * len(counted)))],
        environment=asdict(chosen),
    )
