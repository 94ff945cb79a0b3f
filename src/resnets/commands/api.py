"""What `resnets` does, a function a command: the command line is made of these signatures.

Nothing heavy is imported before it is needed, so a list of models or a wrong name is answered without torch.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from resnets.artifacts.runtime_names import RunPrecision, Runtime
from resnets.core.console import say
from resnets.core.errors import UsageError
from resnets.core.rng import MAX_SEED
from resnets.core.signatures import checked_arguments
from resnets.core.units import parse_bytes
from resnets.core.workers import MAX_WORKERS, default_workers
from resnets.modalities.image.preprocessing import MAX_SIZE, TestTimeAugmentation
from resnets.models import catalog, counts
from resnets.models import memory as planner
from resnets.models.memory import BytesPerElement, Segments, StepMemory
from resnets.models.spec import Spec
from resnets.nn.shapes import StrideIn
from resnets.recipes import catalog as recipe_catalog
from resnets.training.recipe import MAX_BATCH, Precision, Recipe

if TYPE_CHECKING:
    from resnets.artifacts.model import ImageInput, Model, Ranking
    from resnets.evaluation.scoring import Scores
    from resnets.experiments.reproduce import Reproduction
    from resnets.models.resnet import ResNet
    from resnets.training.diagnosis import Diagnosis
    from resnets.training.run_folder import RunFolder, Subscriber

Device = str


@dataclass(frozen=True)
class Run:
    """A finished training run.

    Args:
        folder: holds recipe.json, log.jsonl, model.safetensors and report.html.
        metrics: of the final weights on the split that "split" names: val where the data has one, else test. accuracy
            and top5 are fractions of 1.
        was_finished: whether `resume` found that there was nothing left to do.
    """

    folder: Path
    metrics: dict[str, Any]
    was_finished: bool = False

    @property
    def model(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"


@dataclass(frozen=True)
class Description:
    """What `describe` finds.

    Args:
        layers: of the network at `size` pixels, in the order of the signal.
        weights_sha256: of a model file: SHA-256 over the entries in key order, each as name, dtype, shape and bytes.
        card: what a model file says beside its weights, but for the weights' own description.
        memory: of a training step, where that was asked.
        recomputed: the blocks that are computed twice in it; see `models.memory`.
    """

    name: str
    spec: Spec
    size: int
    parameters: int
    multiply_adds: int
    layers: tuple[counts.Layer, ...]
    classes: tuple[str, ...] | None = None
    weights_sha256: str | None = None
    card: dict[str, Any] | None = None
    memory: StepMemory | None = None
    recomputed: Segments = field(default_factory=dict)


@checked_arguments
def train(
    recipe: str | Recipe = "digits",
    /,
    *overrides: str,
    data: str | None = None,
    model: str | Spec | None = None,
    epochs: float | None = None,
    large_batch: int | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    device: Device = "auto",
    precision: Precision | None = None,
    workers: int | None = None,
    checkpoint_minutes: float = 5.0,
    checkpoint_steps: int | None = None,
    keep: int = 2,
    monitor: Literal["accuracy", "top5", "loss"] | None = None,
    rank_timeout: float = 45.0,
    tensorboard: bool = False,
    subscribers: tuple[Subscriber, ...] = (),
) -> Run:
    """Train a network; without arguments, a small one on scikit-learn's digits.

    Args:
        recipe: a name from `resnets recipes`, a recipe.json, or in Python a Recipe.
        overrides: settings of the recipe, such as optimizer.lr=3e-3 or batch=64.
        data: a folder with train/CLASS/* and val/CLASS/*, or digits, cifar10, cifar100.
        model: a name from `resnets models`, a JSON file with a spec, or in Python a Spec.
        epochs: how long; schedules keep their shape.
        large_batch: samples a step, with the learning rate scaled and warmed up for them (Goyal et al. 2017).
        out: the folder of the run (default: runs/RECIPE, numbered).
        seed: of every random choice.
        device: auto, cpu, cuda or mps.
        precision: of training steps.
        workers: threads that decode images, which changes nothing in the result (default: one for each usable core).
        checkpoint_minutes: minutes between checkpoints.
        checkpoint_steps: steps between checkpoints, as well.
        keep: how many of the last checkpoints are kept.
        monitor: also keep the model with the best figure of this name on val (else test), as best.safetensors.
        rank_timeout: seconds after which ranks under torchrun give up on one that takes no part.
        tensorboard: also write TensorBoard events into the run's folder.
        subscribers: in Python, called with each event of the run; what one of them raises is reported once and does not
            end the run.
    """
    if isinstance(recipe, str) and "=" in recipe:
        recipe, overrides = "digits", (recipe, *overrides)
    resolved = _find_recipe(recipe)
    if data is not None:
        resolved = replace(resolved, data=data)
    if model is not None:
        resolved = replace(resolved, model=_find_spec(model))
    if epochs is not None:
        resolved = resolved.with_length(epochs=epochs)
    if seed is not None:
        resolved = replace(resolved, seed=seed)
    if precision is not None:
        resolved = replace(resolved, precision=precision)
    resolved = resolved.with_overrides(overrides)
    if large_batch is not None:
        from resnets.recipes.large_batch import large_batch as enlarged

        resolved = enlarged(resolved, large_batch)
    _check_range("workers", workers, 0, MAX_WORKERS)

    from resnets.training import runner
    from resnets.training.distributed import is_main, restarts, world_size
    from resnets.training.run_folder import CheckpointPolicy, RunFolder, new_run_folder

    if restarts() and out is not None and RunFolder(Path(out)).recipe.exists():
        return resume(out, rank_timeout=rank_timeout, subscribers=subscribers)
    checkpoints = CheckpointPolicy(minutes=checkpoint_minutes, steps=checkpoint_steps, keep=keep, monitor=monitor)
    if out is None and world_size() > 1:
        raise UsageError("Several ranks need a folder that all of them know: give --out.")
    folder = new_run_folder(out, resolved.name) if is_main() else RunFolder(Path(out or ""))
    try:
        with _board(folder, tensorboard and is_main()) as board:
            scores = runner.train(
                resolved,
                folder,
                device=device,
                workers=workers,
                checkpoints=checkpoints,
                tensorboard=tensorboard,
                rank_timeout=rank_timeout,
                subscribers=(*subscribers, *board),
            )
    finally:
        if out is None:  # where nothing was begun, the claim on a name is given up
            with contextlib.suppress(OSError):
                folder.path.rmdir()
                folder.path.parent.rmdir()  # where there is no other run either
    return Run(folder.path, scores.summary())


@checked_arguments
def resume(
    run: str | Path,
    /,
    *,
    data: str | None = None,
    epochs: str | None = None,
    memory_limit: str | None = None,
    rank_timeout: float = 45.0,
    subscribers: tuple[Subscriber, ...] = (),
) -> Run:
    """Go on with a training run that was cut off, bit for bit where it was.

    Args:
        run: the folder of the run.
        data: where the run's data lies now, if it was moved; it must be the same.
        epochs: +N trains a finished run N epochs more, from a tenth of its peak rate to the end of its schedule.
        memory_limit: such as 8GiB; blocks are computed twice to keep within it, with the same result.
        rank_timeout: seconds after which ranks under torchrun give up on one that takes no part.
        subscribers: in Python, called with each event of the run; what one of them raises is reported once and does not
            end the run.
    """
    from resnets.training import runner
    from resnets.training.damage import DamageLog
    from resnets.training.distributed import is_main
    from resnets.training.extension import parse_epochs
    from resnets.training.run_folder import RunFolder, read_plan

    folder = RunFolder(Path(run))
    if not os.path.lexists(folder.recipe):
        raise UsageError(f"There is no run in {run}. Start one with: resnets train --out {run}")
    more = parse_epochs(epochs) if epochs is not None else None
    with _board(folder, read_plan(folder.recipe).tensorboard and is_main(), required=False) as board:
        scores = runner.resume(
            folder,
            data=data,
            epochs=more,
            memory_limit=memory_limit,
            rank_timeout=rank_timeout,
            subscribers=(*subscribers, *board),
        )
    if scores is None:
        damaged = DamageLog(folder.path).by_path()
        return Run(folder.path, {**load(folder.model).card.metrics, "damaged": damaged}, was_finished=True)
    return Run(folder.path, scores.summary())


@contextlib.contextmanager
def _board(folder: RunFolder, wanted: bool, *, required: bool = True) -> Iterator[tuple[Subscriber, ...]]:
    """The listener that writes for TensorBoard, where `wanted`.

    Args:
        required: whether it is an error that TensorBoard is not installed; else the run goes on without.
    """
    from resnets.training.tensorboard import Board

    with contextlib.ExitStack() as stack:
        subscribers: tuple[Subscriber, ...] = ()
        if wanted:
            try:
                subscribers = (stack.enter_context(contextlib.closing(Board(folder.path / "tensorboard"))),)
            except UsageError as error:
                if required:
                    raise
                say(f"Note: {error} The run goes on without.", stream=sys.stderr)
        yield subscribers


@checked_arguments
def replay(run: str | Path, /, *, step: int) -> Diagnosis:
    """Make one step of a run again and look at it closely.

    Args:
        run: the folder of the run.
        step: its number, from 1.
    """
    from resnets.training import runner
    from resnets.training.run_folder import RunFolder

    return runner.replay(RunFolder(Path(run)), step)


@checked_arguments
def evaluate(
    model: str | Path | Model,
    /,
    *ensemble: str | Path | Model,
    data: str | None = None,
    split: Literal["train", "val", "test", "all"] | None = None,
    tta: TestTimeAugmentation | None = None,
    out: str | Path | None = None,
    device: Device = "auto",
    runtime: Runtime = "torch",
    precision: RunPrecision = "auto",
    calibrate: str | None = None,
    workers: int | None = None,
) -> Scores:
    """Score a model exactly: every image once, in float32; under torchrun the ranks share the images.

    Args:
        model: a model file or a run folder.
        ensemble: more of them, whose probabilities are averaged with the first one's.
        data: a dataset or folder; by default what the model was trained with, split as it was then.
        split: which part of it: train, val, test, or all of a folder of classes (default: test, else val, else all).
        tta: what of each image is looked at, the answers averaged: the centre; it and its mirror image; both and
            the same moved by a pixel two ways; ten crops; or the whole image at five sizes (default: as the model's
            recipe says).
        out: a folder for report.html, metrics.json and predictions.csv.
        device: auto, cpu, cuda or mps.
        runtime: torch, the reference, or on the CPU folded, compiled, openvino or onnxruntime; see `predict`.
        precision: auto, fp32, bf16 or int8, as the runtime has it.
        calibrate: images for int8: a folder or a dataset (default: what the model was trained on).
        workers: threads that decode images, which changes nothing in the result (default: one for each usable core).
    """
    _check_range("workers", workers, 0, MAX_WORKERS)
    from resnets.artifacts.model import Model
    from resnets.core.devices import find_device
    from resnets.evaluation.predictor import Ensemble, Member, NetworkPredictor
    from resnets.evaluation.scoring import absent, labels_for, score
    from resnets.modalities.catalog import open_dataset
    from resnets.tasks.classification.task import Classification
    from resnets.training import agreement
    from resnets.training.distributed import process_group
    from resnets.training.environment import threads
    from resnets.training.run_split import for_evaluation

    with process_group(_device_for(runtime, device)) as (ranks, own_device):
        chosen = find_device(own_device)
        models = [
            each
            if isinstance(each, Model)
            else load(each, str(chosen), runtime=runtime, precision=precision, calibrate=calibrate)
            for each in (model, *ensemble)
        ]
        first = models[0]
        if any(set(each.classes) != set(first.classes) for each in models):
            raise UsageError("The models of an ensemble must know the same classes.")
        name = data if data is not None else _trained_on(first)
        if not isinstance(name, str):
            raise UsageError("The model file does not say what it was trained on: give --data.")
        of_this_data = [each.file for each in models if each.card.recipe.get("data") == first.card.recipe.get("data")]
        splits = agreement.together(
            ranks,
            lambda: for_evaluation(open_dataset(name), name, of_this_data, own=data is None, asked=split),
        )
        split = split or splits.scored
        dataset = splits.split(split)
        agreement.require_equal_evaluation(ranks, dataset, [each.network for each in models], split)
        predictors = [
            NetworkPredictor(
                each.network.to(chosen),
                each.card.preprocessing,
                tta=tta or each.tta,
                device=chosen,
            )
            for each in models
        ]
        members = [
            Member(predictor, tuple(map(each.classes.index, first.classes)))
            for predictor, each in zip(predictors, models, strict=True)
        ]
        # What training computed with, for the same last bit.
        count = first.card.environment.get("threads") if runtime == "torch" else None
        with threads(count) if isinstance(count, int) and 0 < count <= 1024 else contextlib.nullcontext():
            scores = score(
                Ensemble(members) if len(models) > 1 else predictors[0],
                Classification(),
                dataset,
                split=split,
                labels=labels_for(dataset, first.classes),
                classes=first.classes,
                workers=default_workers() if workers is None else workers,
                rank=ranks.rank,
                world=ranks.world,
                gather=ranks.gather,
            )
    scores = replace(scores, notes=splits.notes + absent(dataset, first.classes))
    if out is not None and ranks.is_main:
        from resnets.core.files import write_json
        from resnets.reporting.report import write_predictions, write_report

        folder = Path(out)
        title = f"{split} of {name}"
        write_report(folder / "report.html", title=title, scores=scores, dataset=dataset, card=first.card)
        write_predictions(folder / "predictions.csv", scores, dataset, first.classes)
        write_json(folder / "metrics.json", scores.summary())
    return scores


@checked_arguments
def predict(
    model: str | Path | Model,
    /,
    *images: ImageInput,
    top: int = 5,
    device: Device = "cpu",
    runtime: Runtime = "torch",
    precision: RunPrecision = "auto",
    calibrate: str | None = None,
    workers: int | None = None,
) -> list[Ranking]:
    """Name the most probable classes of images of any size.

    Args:
        model: a model file or a run folder.
        images: image files.
        top: how many classes.
        device: auto, cpu, cuda or mps.
        runtime: torch, the reference, or on the CPU folded (batch norm in the convolutions), compiled, openvino or
            onnxruntime. What these make of a model is kept beside its file.
        precision: auto (bf16 where runtime and processor have it, else fp32), fp32, bf16 or int8.
        calibrate: images for int8: a folder or a dataset (default: what the model was trained on).
        workers: threads that decode images, which changes nothing in the result (default: one for each usable core).

    Returns:
        For each image its `top` classes with their probabilities, the most probable first.

    Raises:
        PredictionError: some images cannot be read; it has the answers for all others.
    """
    _check_range("workers", workers, 0, MAX_WORKERS)
    from resnets.artifacts.model import Model

    if not images:
        raise UsageError("Give at least one image.")
    if not isinstance(model, Model):
        from resnets.core.devices import find_device

        found = find_device(_device_for(runtime, device))
        model = load(model, str(found), runtime=runtime, precision=precision, calibrate=calibrate)
    return model.predict_many(images, top, workers=workers)


@checked_arguments
def describe(
    model: str | Path | Spec,
    /,
    *,
    size: int | None = None,
    batch: int | None = None,
    train: bool = False,
    memory_limit: str | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> Description:
    """Layers, shapes, parameters and multiply-adds of a model; with `batch` and `train`, a training step's memory.

    Args:
        model: a name from `resnets models`, a model file, a run folder, or a JSON file with a spec.
        size: side of the input in pixels (default: the model file's own, else 224, or 32 for a CIFAR stem).
        batch: images that go through together.
        train: predict the memory of a training step with momentum, beside what the program takes anyway.
        memory_limit: such as 2GiB, for what the step takes; blocks are computed twice to keep within it.
        precision: fp32 or bf16, of the step.
    """
    if train != (batch is not None) or (memory_limit is not None and not train):
        raise UsageError("The memory of a step needs --batch and --train together.")
    _check_range("batch", batch, 1, MAX_BATCH)
    _check_range("size", size, 1, MAX_SIZE)
    name = str(model) if not isinstance(model, Spec) else "spec"
    classes = digest = card = None
    if not _is_trained(model):
        spec = _find_spec(name if not isinstance(model, Spec) else model)
        size = spec.usual_size if size is None else size
    else:
        from resnets.artifacts.model import load as load_model
        from resnets.artifacts.model_file import weights_sha256
        from resnets.core.config import encode

        loaded = load_model(name)
        spec, classes = loaded.card.spec, loaded.classes
        digest = weights_sha256(loaded.network.state_dict())
        card = {
            "task": loaded.card.task,
            "preprocessing": encode(loaded.card.preprocessing),
            "recipe": loaded.card.recipe,
            "environment": loaded.card.environment,
            "metrics": loaded.card.metrics,
            "version": loaded.card.version,
        }
        size = loaded.card.preprocessing.crop if size is None else size
    layers = tuple(counts.layers(spec, size))
    memory: StepMemory | None = None
    segments: Segments = {}
    if batch is not None:
        numbers = BytesPerElement(activation=2 if precision == "bf16" else 4)
        if memory_limit is not None:
            segments = planner.fit(spec, size, batch, parse_bytes(memory_limit), numbers=numbers)
        memory = planner.predict(spec, size, batch, numbers=numbers, segments=segments)
    return Description(
        name=name,
        spec=spec,
        size=size,
        parameters=sum(layer.parameters for layer in layers),
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        layers=layers,
        classes=classes,
        weights_sha256=digest,
        card=card,
        memory=memory,
        recomputed=segments,
    )


@checked_arguments
def benchmark(
    model: str | Spec,
    /,
    *,
    train: bool = False,
    batch: int = 32,
    size: int | None = None,
    steps: int = 10,
    memory_limit: str | None = None,
    device: Device = "auto",
    runtime: Runtime = "torch",
    precision: RunPrecision = "auto",
    data: str | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Measure this machine's rates for a network: training, inference, loading.

    Args:
        model: a name from `resnets models`, a JSON file with a spec, or a model file or run folder.
        train: training steps alone, so that the peak of memory is theirs.
        batch: images at a time; training takes two at least, as batch norm does.
        size: side of the input in pixels (default: 224, or 32 for a CIFAR stem).
        steps: how many of each; the first is not timed where there are more.
        memory_limit: such as 2GiB, for training; blocks are computed twice to keep within it.
        device: auto, cpu, cuda or mps.
        runtime: of inference: torch, folded, compiled, openvino or onnxruntime.
        precision: of training and inference: auto, fp32 or bf16; int8 is of inference alone.
        data: a folder of images to load (default: 64 made JPEGs of 500 x 375).
        workers: threads that load (default: one for each usable core).
    """
    _check_range("batch", batch, 1, MAX_BATCH)
    _check_range("size", size, 1, MAX_SIZE)
    _check_range("steps", steps, 1, 10**6)
    _check_range("workers", workers, 0, MAX_WORKERS)
    from resnets.artifacts import model_file
    from resnets.artifacts.model import find_model_file
    from resnets.experiments.benchmark import inference_rate, loading_rate, training_rate

    spec = model_file.load(find_model_file(str(model)))[1].spec if _is_trained(model) else _find_spec(model)
    size = spec.usual_size if size is None else size
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
        "model": model if isinstance(model, str) else "spec",
        "size": size,
        "peak_memory_bytes": training.peak_memory_bytes,
        "predicted_peak_memory_bytes": training.predicted_peak_memory_bytes,
        "training": asdict(training),
    }
    if not train:
        inference = inference_rate(
            spec, batch=batch, size=size, steps=steps, device=device, runtime=runtime, precision=precision
        )
        found["inference"] = asdict(inference)
        threads = default_workers() if workers is None else workers
        found["loading"] = asdict(loading_rate(data, batch=batch, size=size, steps=steps, workers=threads))
    return found


@checked_arguments
def reproduce(
    experiment: str,
    /,
    *settings: str,
    data: str | None = None,
    seeds: int = 3,
    models: str | None = None,
    epochs: float | None = None,
    out: str | Path | None = None,
    device: Device = "auto",
    workers: int | None = None,
    jobs: int | None = None,
    runs: str | Path | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Reproduction:
    """Run an experiment of the paper, or of what came after, and set its figures beside ours.

    Args:
        experiment: a name from `resnets experiments`.
        settings: of the recipe that all nets share, such as evaluate_every=2.
        data: a dataset or folder in place of the paper's own.
        seeds: runs of each net, with seeds from 0.
        models: names with commas between them, in place of the experiment's nets.
        epochs: in place of the full length.
        out: the folder; what it holds already is not done again (default: reproduced/EXPERIMENT).
        device: auto, cpu, cuda or mps.
        workers: threads that decode images.
        jobs: runs at a time (default: as many as there are cores where each needs one, else one).
        runs: the folder of the trained nets (default: runs within `out`); experiments on the same nets and data can
            share it, and train each net once.
        log: in Python, called with a line for each step forward.
    """
    _check_range("seeds", seeds, 1, 1000)
    _check_range("jobs", jobs, 1, MAX_WORKERS)
    _check_range("workers", workers, 0, MAX_WORKERS)
    from resnets.experiments import catalog
    from resnets.experiments.reproduce import reproduce as run

    found = catalog.find(experiment)
    folder = Path(out) if out is not None else Path("reproduced") / found.name
    return run(
        found,
        folder,
        settings=settings,
        data=data,
        seeds=seeds,
        models=models,
        epochs=epochs,
        device=device,
        workers=workers,
        jobs=jobs,
        runs=Path(runs) if runs is not None else None,
        log=log,
    )


def list_experiments() -> dict[str, str]:
    """The experiments known by name."""
    from resnets.experiments.catalog import EXPERIMENTS

    return {name: experiment.title for name, experiment in EXPERIMENTS.items()}


def list_models() -> dict[str, Spec]:
    """The networks known by name."""
    return dict(catalog.CATALOG)


def list_recipes() -> dict[str, Recipe]:
    """The recipes known by name."""
    return {name: make() for name, make in recipe_catalog.RECIPES.items()}


@checked_arguments
def create(
    name: str | Spec,
    *,
    classes: int | None = None,
    channels: int | None = None,
    weights: str | Path | None = None,
    weights_stride: StrideIn | None = None,
    seed: int = 0,
) -> ResNet:
    """A network as a torch module, new or with somebody's weights.

    Args:
        name: from `CATALOG`, or a Spec.
        classes, channels: in place of the spec's; pretrained weights are fitted, and what was not taken over as it
            is is printed to standard error.
        weights: a model file, a run folder, a `.pth` or `.safetensors` file of anyone's, "torchvision:NAME" or
            "timm:TAG". None draws new ones.
        weights_stride: for a file of bottlenecks that does not say which convolution strides: "1x1" or "3x3".
        seed: of new weights.

    Returns:
        A `ResNet` in training mode: `net(x)` gives logits, `net.features(x)` the stages, `net.spec` the spec.

    Raises:
        UsageError, FileError: an unknown name, or weights that are missing, damaged or of another network.
    """
    from resnets.artifacts.pretrained import load_weights
    from resnets.models.initialize import create as create_network

    _check_range("seed", seed, 0, MAX_SEED)
    spec = catalog.find(name) if isinstance(name, str) else name
    spec = replace(
        spec,
        classes=spec.classes if classes is None else classes,
        channels=spec.channels if channels is None else channels,
    )
    network = create_network(spec, seed=seed)
    if weights is not None:
        library_name = name if isinstance(name, str) else None
        for note in load_weights(network, weights, name=library_name, weights_stride=weights_stride):
            say(note, stream=sys.stderr)
    return network


@checked_arguments
def load(
    model: str | Path,
    device: Device = "cpu",
    *,
    runtime: Runtime = "torch",
    precision: RunPrecision = "auto",
    calibrate: str | None = None,
) -> Model:
    """The trained model in a model file or a run folder; it knows its classes and its preprocessing.

    Args:
        runtime, precision, calibrate: as of `predict`.

    Raises:
        FileError: there is none, or it is damaged.
        UsageError: the runtime cannot be had here.
    """
    from resnets.artifacts.model import load as load_model
    from resnets.core.devices import find_device

    return load_model(model, find_device(device), runtime=runtime, precision=precision, calibrate=calibrate)


def _trained_on(model: Model) -> object:
    """What the model was trained on: where its run has the data now, or what its file calls it."""
    from resnets.training.run_folder import RunFolder, read_plan

    run = RunFolder(model.file.parent) if model.file is not None else None
    if run is not None and run.recipe.exists():
        return read_plan(run.recipe).data
    return model.card.recipe.get("data")


def _find_recipe(recipe: str | Recipe) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    if recipe.endswith(".json"):
        from resnets.training.run_folder import read_plan

        plan = read_plan(Path(recipe))
        return replace(plan.recipe, data=plan.data)
    return recipe_catalog.find(recipe)


def _find_spec(model: str | Spec) -> Spec:
    if isinstance(model, Spec):
        return model
    if model.endswith(".json"):
        from resnets.core.config import decode
        from resnets.core.files import read_json

        return decode(Spec, read_json(Path(model)), "")
    return catalog.find(model)


def _is_trained(model: str | Path | Spec) -> bool:
    """Whether `model` is a model file or run folder, not a name or a spec."""
    if isinstance(model, Spec) or str(model) in catalog.CATALOG:
        return False
    return Path(model).suffix != ".json" and os.path.exists(model)


def _device_for(runtime: Runtime, device: Device) -> Device:
    """What "auto" means: the CPU for a runtime that computes nowhere else."""
    return "cpu" if device == "auto" and runtime != "torch" else device


def _check_range(name: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        raise UsageError(f"{name} must be from {low} to {high}, not {value}.")
