"""Images a second of a network on this machine, for `resnets benchmark`: training, inference, loading."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from resnets.artifacts import runtimes
from resnets.artifacts.runtime_names import RunPrecision, Runtime
from resnets.core import rng
from resnets.core.devices import full_float32
from resnets.core.errors import UsageError
from resnets.core.renamed import renamed_fields
from resnets.data.loader import Batches
from resnets.data.sampler import EpochSampler
from resnets.experiments.benchmark_inputs import random_batch, recipe_for, whole_images
from resnets.modalities.catalog import open_dataset
from resnets.modalities.image.preprocessing import Color
from resnets.modalities.image.transforms import Augmentations, Flip, RandomResizedCrop
from resnets.modalities.inputs import open_reader
from resnets.models.box_heads import BoxHead
from resnets.models.counts import InputSize, multiply_adds
from resnets.models.heads import LinearHead
from resnets.models.resnet import backbone_of
from resnets.models.spec import Spec
from resnets.tasks.forward import lay_out, place
from resnets.training import environment, memory
from resnets.training.build import initial_network, task_of
from resnets.training.recipe import Precision
from resnets.training.step import Training


@dataclass(frozen=True)
class TrainingRate:
    """Speed and memory of training steps.

    Args:
        images_per_second: median over the steps after the first, or that of the only one.
        seconds: of each step.
        peak_memory_bytes: peak memory of the process so far; on a GPU, what torch allocated there.
        predicted_peak_memory_bytes, predicted_parts: the estimate of `models.memory`, in bytes; None and empty for a
            detector, whose memory depends on what it finds.
        recomputed: lengths in blocks of the recomputed segments (activation checkpointing), by stage.
    """

    batch: int
    images_per_second: float
    seconds: tuple[float, ...]
    loss: float
    peak_memory_bytes: int
    predicted_peak_memory_bytes: int | None
    predicted_parts: dict[str, int]
    recomputed: dict[str, tuple[int, ...]]
    environment: dict[str, Any]


def training_rate(
    spec: Spec,
    *,
    batch: int,
    size: InputSize,
    steps: int,
    device: str,
    precision: Precision,
    memory_limit: str | None,
    seed: int = 0,
) -> TrainingRate:
    """Measures whole training steps of the head's task with the paper's SGD on random images.

    Raises:
        UsageError: a step with this batch needs more memory than the limit.
    """
    chosen = environment.choose(device, precision, multiply_adds(spec, size) * batch)
    recipe = recipe_for(spec, size, batch=batch, steps=steps, memory_limit=memory_limit, seed=seed)
    task = task_of(recipe)
    network, _ = initial_network(recipe, task, ())
    allocation = memory.allocation(chosen.device, limited=memory_limit is not None)
    with environment.threads(chosen.threads), full_float32(), allocation:
        training = Training(recipe, chosen, task, network, samples=batch)
        samples = random_batch(spec, size, batch, rng.generator(seed, "benchmark")).to(training.device)
        predictable = memory_limit is not None or not isinstance(spec.head, BoxHead)
        expected = memory.keep_within_limit(training) if predictable else None
        seconds, loss = [], 0.0
        for _ in range(steps):
            started = time.perf_counter()
            loss = float(training.step(samples))  # reading it waits for the device
            seconds.append(time.perf_counter() - started)
    return TrainingRate(
        batch=batch,
        images_per_second=batch / statistics.median(seconds[1:] or seconds),
        seconds=tuple(seconds),
        loss=loss,
        peak_memory_bytes=memory.highest(training.device),
        predicted_peak_memory_bytes=None if expected is None else expected.peak,
        predicted_parts={} if expected is None else vars(expected),
        recomputed=dict(backbone_of(network).recomputed),
        environment=asdict(chosen),
    )


@dataclass(frozen=True)
class InferenceRate:
    """Speed of forward passes in evaluation.

    Args:
        share_of_ceiling: fraction of the multiply-adds a second of a large matrix product in this precision, measured
            right after; None for int8, as torch has no such product, and for detectors, whose work depends on what
            they find.
    """

    batch: int
    runtime: str
    precision: str
    images_per_second: float
    milliseconds_median: float
    milliseconds_95: float
    share_of_ceiling: float | None
    environment: dict[str, Any]


def inference_rate(
    spec: Spec,
    *,
    batch: int,
    size: InputSize,
    steps: int,
    device: str,
    runtime: Runtime,
    precision: RunPrecision,
    seed: int = 0,
) -> InferenceRate:
    """Measures forward passes on random images, without the first; of a network with another head than a classifier's
    all from the input to the answer in pixels of the image, in fp32.

    Raises:
        UsageError: only classifiers have other runtimes and precisions.
    """
    classifies = isinstance(spec.head, LinearHead)
    if not classifies and (runtime != "torch" or precision not in ("auto", "fp32")):
        raise UsageError("Inference of networks for pixels and boxes is measured in fp32 and by runtime torch alone.")
    chosen = environment.choose(
        device if runtime == "torch" else "cpu",
        "auto" if precision == "int8" else precision,
        multiply_adds(spec, size) * batch,
    )
    at = torch.device(chosen.device)
    recipe = recipe_for(spec, size, batch=max(batch, 2), seed=seed)  # batch norm learns from two or more
    task = task_of(recipe)
    network = place(initial_network(recipe, task, ())[0], at).eval()
    samples = random_batch(spec, size, batch, rng.generator(seed, "benchmark")).to(at)
    images = lay_out(samples["inputs"])
    samples |= {"inputs": images}
    seconds = []
    with environment.threads(chosen.threads), full_float32(), torch.inference_mode():
        execute = runtimes.build(network, runtime, precision, calibration=lambda: torch.split(images[:8], 1))
        for _ in range(steps + 1):
            started = time.perf_counter()
            if classifies:
                execute(images).sum().item()  # reading it waits for the device
            else:
                task.answers(task.predict(network, samples), tuple(map(str, range(spec.classes))), 1)
            seconds.append(time.perf_counter() - started)
        used = runtimes.choose(runtime, precision, at)
        counted_exactly = used != "int8" and not isinstance(spec.head, BoxHead)
        ceiling = _multiply_adds_a_second(at, used) if counted_exactly else None
    counted = sorted(seconds[1:])
    rate = batch / statistics.median(counted)
    return InferenceRate(
        batch=batch,
        runtime=runtime,
        precision=used,
        images_per_second=rate,
        milliseconds_median=1000 * statistics.median(counted),
        milliseconds_95=1000 * counted[min(len(counted) - 1, round(0.95 * len(counted)))],
        share_of_ceiling=ceiling and rate * multiply_adds(spec, size) / ceiling,
        environment={**asdict(chosen), "precision": used},
    )


def _multiply_adds_a_second(device: torch.device, precision: str, side: int = 2048) -> float:
    """Multiply-adds a second of a product of large matrices, the best of five."""
    matrix = torch.randn(side, side, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    best = math.inf
    for _ in range(5):
        started = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        best = min(best, time.perf_counter() - started)
    return side**3 / best


@renamed_fields
@dataclass(frozen=True)
class LoadingRate:
    """Speed of making training batches from image files: decoded, randomly cropped, flipped, normalised.

    Args:
        images: distinct files, which the system caches in memory after the first read.
        notes: remarks on how the data was read, a line each.
    """

    batch: int
    images_per_second: float
    workers: int
    images: int
    data: str
    notes: tuple[str, ...] = ()


def loading_rate(
    data: str | None, *, batch: int, size: InputSize, steps: int, workers: int, color: Color = "RGB", seed: int = 0
) -> LoadingRate:
    """Measures `steps` batches of the training images of the folder `data`, or of 64 generated JPEG files."""
    height, width = (size, size) if isinstance(size, int) else size
    with tempfile.TemporaryDirectory() as place:
        if data is None:
            _write_jpegs(Path(place), rng.generator(seed, "benchmark images"))
        splits = open_dataset(data or place)
        dataset = splits.train
        batches = Batches(
            dataset,
            sampler=EpochSampler(len(dataset), batch, seed),
            reader=open_reader(
                replace(whole_images(height, width), color=color),
                Augmentations(crop=RandomResizedCrop(), transforms=(Flip(),)),
            ),
            seed=seed,
            bn_batch=batch,
            device=torch.device("cpu"),
            workers=workers,
        )
        for _ in batches.between(0, 1):
            pass
        started = time.perf_counter()
        for _ in batches.between(1, steps + 1):
            pass
        seconds = time.perf_counter() - started
    title = data or "generated JPEGs of 500 x 375"
    return LoadingRate(batch, steps * batch / seconds, workers, len(dataset), title, splits.notes)


def _write_jpegs(folder: Path, g: np.random.Generator, count: int = 64) -> None:
    """Writes two classes of images with detail at all scales, as in photographs."""
    for number in range(count):
        image = np.zeros((375, 500, 3), np.float32)
        for side in (4, 16, 64, 256):
            noise = Image.fromarray(g.integers(0, 256, (side, side, 3), np.uint8))
            image += np.asarray(noise.resize((500, 375), Image.Resampling.BICUBIC), np.float32)
        for part in ("train", "val"):
            path = folder / part / str(number % 2) / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image / 4).astype(np.uint8)).save(path, quality=90)
