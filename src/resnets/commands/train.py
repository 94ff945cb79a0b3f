"""`resnets train`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resnets.commands.arguments import check_range, find_recipe
from resnets.commands.asked_recipe import asked_recipe
from resnets.commands.command import Command, can_be_quiet
from resnets.commands.data_in_memory import DataInMemory, takes_data_in_memory
from resnets.commands.resume import resume
from resnets.commands.training_run import Run, answer, finished_run
from resnets.core import clock
from resnets.core.console import note
from resnets.core.errors import UsageError
from resnets.core.renamed import renamed_arguments
from resnets.core.signatures import checked_arguments, takes_settings
from resnets.core.typed import path_text
from resnets.core.workers import MAX_WORKERS
from resnets.models.spec import Spec
from resnets.training.events import Subscriber
from resnets.training.recipe import Precision, Recipe
from resnets.training.size import notes_on_size

if TYPE_CHECKING:
    from resnets.commands.asked_recipe import AskedRecipe
    from resnets.training.plan import CheckpointPolicy, TrackerName
    from resnets.training.sweep import SweepPlan


@renamed_arguments(best="monitor", listeners="subscribers")
@checked_arguments
@can_be_quiet
@takes_data_in_memory
@takes_settings(lambda: find_recipe("digits"))
def train(
    recipe: str | PathLike[str] | Recipe | None = None,
    /,
    *overrides: str,
    data: str | Path | DataInMemory | None = None,
    format: str | None = None,
    model: str | PathLike[str] | Spec | None = None,
    weights: str | PathLike[str] | None = None,
    teacher: str | PathLike[str] | None = None,
    size: int | tuple[int, int] | str | None = None,
    epochs: float | None = None,
    minutes: float | None = None,
    val_share: float | None = None,
    group_by: str | None = None,
    fold: str | None = None,
    large_batch: int | None = None,
    memory_limit: str | None = None,
    out: str | PathLike[str] | None = None,
    seed: int | None = None,
    device: str = "auto",
    precision: Precision | None = None,
    workers: int | None = None,
    checkpoint_minutes: float = 5.0,
    checkpoint_steps: int | None = None,
    keep: int = 2,
    monitor: str | None = None,
    patience: int | None = None,
    unknown_below: float | None = None,
    accuracy: float | None = None,
    balance: str | PathLike[str] | Mapping[str, float] | None = None,
    sweep: tuple[str, ...] = (),
    jobs: int = 1,
    cluster: Literal["ray"] | None = None,
    rank_timeout: float = 45.0,
    tensorboard: bool = False,
    mlflow: bool = False,
    wandb: bool = False,
    subscribers: tuple[Subscriber, ...] = (),
    quiet: bool = False,
) -> Run:
    """Train a network; without arguments, a small one on scikit-learn's digits.

    Args:
        recipe: a name from `resnets recipes`, or a recipe.json; in Python also a Recipe (default: the one that suits
            the data; for images finetune where there are weights, else photos, both fitted to the data).
        overrides: settings of the recipe, such as optimizer.lr=3e-3 or batch=64.
        data: a folder with CLASS/*, or with train/CLASS/*, val/CLASS/* and test/CLASS/*, of images or sounds; one of
            images and masks; a CSV or JSON lines file; WebDataset shards; or digits, cifar10, cifar100,
            torchvision:NAME, hf:OWNER/NAME (default: the recipe's). In Python also (images, labels), a map-style
            Dataset of torch, or these by split.
        format: of the data, where two fit: folders, csv, jsonl, masks, voc, coco, yolo or webdataset (default: found by
            looking).
        model: a name from `resnets models`, or a JSON file with a spec; in Python also a Spec.
        weights: to begin with: a run folder, a file (.safetensors, .pth), torchvision:NAME, timm:TAG or
            hf:OWNER/NAME. Without model, the network is that of the weights, and images are normalised as they were for
            them. Classes that the weights know by name keep their rows of the head.
        teacher: model file or run folder of the same classes, from which the network learns beside the labels
            (distillation; teacher.weight and teacher.temperature set how).
        size: WIDTHxHEIGHT of the images in pixels, or one number for a square; in Python also (height, width). The
            recipe's resize, crop and augmentations follow in proportion. For masks and boxes one number, the shorter
            side, or a range such as 480-640, of training; evaluation takes the largest.
        epochs: length of training; schedules keep their shape.
        minutes: time for everything, from the start of the command to the saved model (with fold=all and with sweep, of
            each run); as many steps as fit are planned from the measured speed, with the schedule run to its end. With
            epochs, at most as many; of finetune at most those that its rule says.
        val_share: share of data without val that is held out as val, by a hash of each name (default: 0.2; 0 for
            digits, cifar10, cifar100 and the recipes digits, paper/* and fast/*, which train on all where there is a
            test; a recipe in a file or from Python says it itself).
        group_by: regular expression that finds each sample's group in its name (the expression's first group, else
            the whole match): no group is both trained on and held out. Tables have the column group for it.
        fold: such as 2/5: all samples are divided into five parts, of which the second is the split test; or all (5
            folds, or as many as the column fold of a table has) or all/10: a run for each, with mean and deviation.
        large_batch: batch size; the learning rate is scaled and warmed up for it (Goyal et al. 2017).
        memory_limit: such as 8GiB; blocks are recomputed in the backward pass (activation checkpointing) to keep
            within it.
        out: folder of the run (default: runs/RECIPE, numbered).
        seed: seed of every random choice.
        device: auto, cpu, cuda or mps.
        precision: numeric precision of training steps (default: the recipe's).
        workers: threads that decode images; the result does not depend on it (default: one for each usable core).
        checkpoint_minutes: minutes between checkpoints.
        checkpoint_steps: steps between checkpoints, in addition.
        keep: number of checkpoints to keep.
        monitor: metric on val that picks the best model, which becomes model.safetensors; the model of the last step is
            then kept as last.safetensors. It is one of the task's: accuracy, top5, loss, balanced_accuracy, macro_f1
            or, of two classes, auc of a classifier, miou of a segmentation, map, mae or r2.
        patience: stop after so many evaluations on val without a better value of the monitored metric (where none is
            given, of the task's first).
        unknown_below: probability from 0 to 1, kept in the model: where no class has as much, a classifier's answer is
            "unknown".
        accuracy: has unknown_below chosen on val, so that this share of the answers that are given is right, such as
            0.99.
        balance: of classes of different frequency; weights, in the loss, inverse to the frequency, or sampling, as many
            samples of each class, or a file of weights by class name, JSON or CSV. In Python also a mapping.
        sweep: SETTING=A,B, such as optimizer.lr=1e-3,3e-3; given several times, a run for each combination of values,
            in one folder and one table, the best on val first. Runs that differ in seed alone are one row.
        jobs: runs of a sweep at a time, each in a process of its own.
        cluster: ray makes the runs of a sweep on the Ray cluster of RAY_ADDRESS, else on one of this machine with
            jobs CPUs. All its machines have to see the folder of the sweep, and the data.
        rank_timeout: seconds until ranks under torchrun give up on one that does not respond.
        tensorboard: also write the numbers of the log for TensorBoard, into the run's folder.
        mlflow: also write them, and the recipe, for MLflow, into the run's folder or where MLFLOW_TRACKING_URI says.
        wandb: also write them, and the recipe, for Weights & Biases, into the run's folder; offline, unless WANDB_MODE
            says otherwise.
        subscribers: callables that get each event of the run, a dictionary (see `resnets.training.events`); an
            exception in one is reported once and does not end the run. The runs of a sweep, which may be in other
            processes, have none.
        quiet: show no progress and no notes; else both are shown on a terminal and in a notebook.

    Returns:
        The finished run: its folder, its metrics, its model file and its report. With fold="all", its metrics are the
        means, and `runs` has a run for each fold; with sweep, they are the table, and `best` is the best run on val.

    Raises:
        UsageError: if a name, a setting or a value is wrong.
        DataError: if the data is missing, damaged or inconsistent.
        TrainingError: if training cannot go on, such as after a loss that is not finite; or if it ends with a model
            of no use, whose loss is not finite or that answers one class alone. The run is then kept: error.run.

    Example:
        run = resnets.train("digits", "optimizer.lr=0.05", seed=1)
        run.metrics["accuracy"]
    """
    started = clock.command_start()
    out = path_text(out)
    if isinstance(recipe, str) and "=" in recipe:
        overrides = (recipe, *overrides)
        recipe = None
    asked = asked_recipe(
        recipe, overrides, data=data, format=format, model=model, weights=weights, teacher=teacher, size=size,
        epochs=epochs, minutes=minutes, val_share=val_share, group_by=group_by, fold=fold, large_batch=large_batch,
        memory_limit=memory_limit, seed=seed, device=device, precision=precision, balance=balance,
        unknown_below=unknown_below, accuracy=accuracy,
    )  # fmt: skip
    resolved, folds = asked.recipe(), asked.folds
    check_range("workers", workers, 0, MAX_WORKERS)
    called = None if model is None else str(model) if isinstance(model, str | Path) else "The network"
    note(*notes_on_size(resolved, called))
    plan_notes = asked.notes(resolved)

    from resnets.commands.fold_runs import fold_runs
    from resnets.tasks.catalog import SETTINGS
    from resnets.training import runner
    from resnets.training.distributed import is_main, restarts, world_size
    from resnets.training.folds import FoldsPlan, begin_folds
    from resnets.training.plan import CheckpointPolicy
    from resnets.training.progress import watch_from_python
    from resnets.training.run_folder import RunFolder, new_run_folder
    from resnets.training.trackers.catalog import require

    if restarts() and out is not None and RunFolder(Path(out)).recipe.exists():
        return resume(out, rank_timeout=rank_timeout, subscribers=subscribers)
    checkpoints = CheckpointPolicy(
        minutes=checkpoint_minutes, steps=checkpoint_steps, keep=keep, monitor=monitor, patience=patience
    )
    if not any(metric.name == monitor for task in SETTINGS for metric in task.metrics):
        checkpoints.monitored(resolved.task)  # no task has it; the data may yet decide that it is another task
    if out is None and world_size() > 1:
        raise UsageError("With several ranks, give the folder of the run: --out FOLDER.")
    if folds is not None and world_size() > 1:
        raise UsageError("With several ranks, train the folds one by one: --fold 1/5, and so on.")
    wanted: dict[TrackerName, bool] = {"tensorboard": tensorboard, "mlflow": mlflow, "wandb": wandb}
    trackers = tuple(name for name in wanted if wanted[name])
    require(trackers)
    swept = _sweep(sweep, asked, jobs, cluster, device, workers, checkpoints, trackers, alone=folds is None)
    folder = new_run_folder(out, resolved.name) if is_main() else RunFolder(Path(out or ""))
    try:
        if swept is not None:
            from resnets.commands.sweep_runs import sweep_runs
            from resnets.training.sweep import begin_sweep

            note(*plan_notes)
            return sweep_runs(folder.path, begin_sweep(folder.path, swept))
        if folds is not None:
            folds = folds or _count_folds(resolved)
            plan = FoldsPlan(
                recipe=resolved, count=folds, device=device, workers=workers, checkpoints=checkpoints,
                trackers=trackers,
            )  # fmt: skip
            note(*plan_notes)
            plan = begin_folds(folder.path, plan)
            return fold_runs(folder.path, plan, rank_timeout=rank_timeout, subscribers=subscribers)
        with watch_from_python(is_main()) as progress:
            scores = runner.train(
                resolved,
                folder,
                device=device,
                workers=workers,
                checkpoints=checkpoints,
                trackers=trackers,
                rank_timeout=rank_timeout,
                subscribers=(*subscribers, *progress),
                started=started,
                first_notes=plan_notes,
            )
    finally:
        if out is None:  # where nothing was begun, the claim on a name is given up
            with contextlib.suppress(OSError):
                folder.path.rmdir()
                folder.path.parent.rmdir()  # where there is no other run either
    return finished_run(folder, scores)


def _sweep(
    sweep: tuple[str, ...],
    asked: AskedRecipe,
    jobs: int,
    cluster: Literal["ray"] | None,
    device: str,
    workers: int | None,
    checkpoints: CheckpointPolicy,
    trackers: tuple[TrackerName, ...],
    *,
    alone: bool,
) -> SweepPlan | None:
    """What a sweep runs; None where there is none.

    Args:
        alone: whether nothing else is asked for that a sweep does not do.

    Raises:
        UsageError: it is no sweep of settings, or cannot be made.
    """
    from resnets.experiments import ray_pool
    from resnets.modalities.in_memory import is_in_memory
    from resnets.training.distributed import world_size
    from resnets.training.sweep import SweepPlan, combinations

    check_range("jobs", jobs, 1, MAX_WORKERS)
    if not sweep:
        if jobs > 1:
            raise UsageError("jobs is for --sweep: one run is one job.")
        if cluster is not None:
            raise UsageError("cluster is for --sweep and for reproduce. Several machines for one run: see torchrun.")
        return None
    if cluster is not None:
        ray_pool.require()
    if not alone or world_size() > 1:
        raise UsageError("A sweep is of runs in one process each, without --fold all and torchrun.")
    names, values = combinations(sweep)
    settings = [tuple(f"{name}={value}" for name, value in zip(names, each, strict=True)) for each in values]
    recipes = tuple(asked.recipe(each) for each in settings)
    if (jobs > 1 or cluster is not None) and is_in_memory(recipes[0].data):
        raise UsageError("Data in memory is in this process alone: sweep with jobs=1, or write the data to files.")
    return SweepPlan(
        names=names, values=values, recipes=recipes, jobs=jobs, cluster=cluster, device=device, workers=workers,
        checkpoints=checkpoints, trackers=trackers,
    )  # fmt: skip


def _count_folds(recipe: Recipe) -> int:
    """How many folds the data of a recipe has, where the user leaves that to it."""
    from resnets.data.folds import count_folds
    from resnets.modalities.catalog import open_dataset

    return count_folds(open_dataset(recipe.data, recipe.format))


COMMAND = Command(train, answer, python_only=("subscribers", "quiet"))
