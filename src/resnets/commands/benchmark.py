"""`resnets benchmark`."""

from __future__ import annotations

from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

from resnets.artifacts.runtime_names import RunPrecision, Runtime
from resnets.commands.arguments import check_range, find_spec, input_size, is_trained
from resnets.commands.command import Answer, Command, Invocation, can_be_quiet
from resnets.core.progress import progress_line
from resnets.core.renamed import with_old_keys
from resnets.core.signatures import checked_arguments
from resnets.core.units import show_bytes, show_count, show_size
from resnets.core.workers import MAX_WORKERS, default_workers
from resnets.models.spec import Spec
from resnets.training.recipe import MAX_BATCH


@checked_arguments
@can_be_quiet
def benchmark(
    model: str | PathLike[str] | Spec,
    /,
    *,
    train: bool = False,
    batch: int = 32,
    size: int | tuple[int, int] | str | None = None,
    steps: int = 10,
    memory_limit: str | None = None,
    device: str = "auto",
    runtime: Runtime = "torch",
    precision: RunPrecision = "auto",
    data: str | Path | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Measure the speed of a model on this machine: training, inference, data loading.

    Args:
        model: a name from `resnets models`, a JSON file with a spec, or a model file or run folder.
        train: measure training only, so that the peak of memory is that of training.
        batch: batch size; training uses at least 2, as batch norm needs.
        size: WIDTHxHEIGHT of the input in pixels, or one number for a square; in Python also (height, width) (default:
            224, or 32 for a CIFAR stem).
        steps: number of steps of each; the first of several is not counted.
        memory_limit: such as 2GiB, for training; blocks are recomputed in the backward pass (activation checkpointing)
            to keep within it.
        device: auto, cpu, cuda or mps.
        runtime: of inference: torch, folded, compiled, openvino or onnxruntime.
        precision: auto, fp32 or bf16, of training and inference; or int8, of inference only.
        data: a folder of images to load (default: 64 generated JPEGs of 500 x 375).
        workers: threads that decode images (default: one for each usable core).
        quiet: show no progress and no notes; else both are shown on a terminal and in a notebook.

    Returns:
        What `--json` prints: bytes, and for "training", "inference" and "loading" what `experiments.benchmark`
        measures, such as images_per_second.

    Raises:
        UsageError: if there is no such model, or a training step does not fit into the limit.

    Example:
        resnets.benchmark("cifar_resnet20", batch=2, steps=2)["training"]["images_per_second"]
    """
    check_range("batch", batch, 1, MAX_BATCH)
    pixels = None if size is None else input_size(size)
    check_range("steps", steps, 1, 10**6)
    check_range("workers", workers, 0, MAX_WORKERS)
    from resnets.artifacts import model_file
    from resnets.artifacts.find import find_model_file
    from resnets.experiments.benchmark import inference_rate, loading_rate, training_rate

    spec = model_file.load(find_model_file(str(model)))[1].spec if is_trained(model) else find_spec(model)
    size = spec.usual_size if pixels is None else pixels
    with progress_line() as line:
        line(f"benchmark  training, {show_count(steps, 'step')}", now=True)
        training = training_rate(
            spec,
            batch=max(batch, 2),
            size=size,
            steps=steps,
            device=device,
            precision="auto" if precision == "int8" else precision,
            memory_limit=memory_limit,
        )
        found: dict[str, Any] = {
            "model": str(model) if isinstance(model, str | Path) else "spec",
            "size": size,
            "peak_memory_bytes": training.peak_memory_bytes,
            "predicted_peak_memory_bytes": training.predicted_peak_memory_bytes,
            "training": asdict(training),
        }
        found["training"]["predicted_parts"] = with_old_keys(training.predicted_parts, pictures="images")
        if not train:
            line(f"benchmark  inference, {show_count(steps, 'step')}", now=True)
            inference = inference_rate(
                spec, batch=batch, size=size, steps=steps, device=device, runtime=runtime, precision=precision
            )
            found["inference"] = asdict(inference)
            threads = default_workers() if workers is None else workers
            line("benchmark  loading of images", now=True)
            loading = loading_rate(
                None if data is None else str(data), batch=batch, size=size, steps=steps, workers=threads
            )
            found["loading"] = with_old_keys(asdict(loading), pictures="images")
    return found


def _answer(invocation: Invocation) -> Answer:
    found: dict[str, Any] = invocation.call()
    training = found["training"]
    recomputed = show_count(sum(map(sum, training["recomputed"].values())), "block")
    expected = found["predicted_peak_memory_bytes"]
    predicted = "not predicted" if expected is None else f"{show_bytes(expected)} predicted"
    lines = [
        f"training   {training['images_per_second']:10.1f} images/s at batch {training['batch']}, "
        f"{show_size(found['size'])} px",
        f"memory     {show_bytes(found['peak_memory_bytes'])} at the peak, {predicted}; {recomputed} recomputed",
    ]
    notes: tuple[str, ...] = ()
    if inference := found.get("inference"):
        ceiling = inference["share_of_ceiling"]
        lines.append(
            f"inference  {inference['images_per_second']:10.1f} images/s, {inference['milliseconds_median']:.1f} ms a "
            f"batch (95%: {inference['milliseconds_95']:.1f} ms), {inference['runtime']}, {inference['precision']}"
            + (f", {ceiling:.0%} of the speed of a matrix product" if ceiling else "")
        )
    if loading := found.get("loading"):
        lines.append(
            f"loading    {loading['images_per_second']:10.1f} images/s with {show_count(loading['workers'], 'worker')} "
            f"({loading['images']} {loading['data']})"
        )
        notes = loading["notes"]
    where = training["environment"]
    lines.append(
        f"on {where['device']} ({where['hardware']}), training in {where['precision']}, {where['layout']}, eager"
    )
    return Answer(lines, found, notes)


COMMAND = Command(benchmark, _answer, python_only=("quiet",))
