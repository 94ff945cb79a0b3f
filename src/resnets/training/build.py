"""From a plan and its data to the objects that train: task, network, `Training` and `Batches`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from resnets.artifacts.find import find_model_file
from resnets.artifacts.pretrained import InitialWeights, set_initial_weights
from resnets.core.devices import full_float32
from resnets.core.errors import FileError
from resnets.core.files import sha256_of
from resnets.data.loader import Batches
from resnets.data.sampler import ClassBalance, EpochSampler
from resnets.modalities.base import Dataset
from resnets.modalities.inputs import open_reader
from resnets.models.initialize import initialize
from resnets.tasks.balance import check_balance, loss_weights, sampled_labels
from resnets.tasks.base import Task
from resnets.tasks.catalog import has_classes, open_task
from resnets.training import environment, memory
from resnets.training.checkpoint import Saved
from resnets.training.deterministic import deterministic
from resnets.training.distributed import Ranks
from resnets.training.extension import Phase
from resnets.training.plan import Plan
from resnets.training.prepare import PreparedData
from resnets.training.recipe import Recipe
from resnets.training.run_folder import RunFolder
from resnets.training.step import Training
from resnets.training.teacher import open_teacher


def task_of(recipe: Recipe, train: Dataset | None = None) -> Task:
    """The task that a recipe trains: the only place in training that makes one.

    Args:
        train: the samples to learn from, whose classes are weighed; None for a task that does not train.

    Raises:
        UsageError: the task does not know a setting of the recipe.
        DataError: the recipe's weights of classes are not those of the data's classes.
    """
    weights = None if train is None else loss_weights(recipe.balance, recipe.task, train)
    return open_task(recipe.task, label_smoothing=recipe.label_smoothing, class_weights=weights)


def check_task(recipe: Recipe, classes: Sequence[str]) -> None:
    """Raises what `task_of` raises of a recipe and the classes of its data, without reading a sample."""
    check_balance(recipe.balance, recipe.task, classes)
    task_of(recipe)


def initial_network(
    recipe: Recipe, task: Task, classes: Sequence[str], *, drawn: bool = False
) -> tuple[nn.Module, InitialWeights | None]:
    """A network with the weights that a run starts from, and what there is to say of the file that they are from.

    Args:
        classes: of the data; those that the weights know by name keep their rows of the head, where these are classes.
        drawn: whether the recipe's file is not read, as other weights will be loaded.

    Raises:
        FileError: the recipe's file is missing, damaged or of another network.
    """
    network = task.build(recipe.model)
    initialize(network, seed=recipe.seed, how=recipe.initialization)
    if drawn or recipe.weights is None:
        return network, None
    named = classes if has_classes(task.settings) else None
    return network, set_initial_weights(network, recipe.weights, classes=named)


def build_training(
    plan: Plan, data: PreparedData, ranks: Ranks, phase: Phase | None = None, *, restored: bool = False
) -> tuple[Training, Batches]:
    """A network with its initial weights and its batches, for one phase of the run (by default the first).

    Args:
        restored: whether a checkpoint will replace the initial weights.

    Raises:
        FileError: the file of initial weights, or of the teacher, is not what it was when the run began.
    """
    recipe = phase.recipe if phase else plan.recipe
    task = task_of(recipe, data.train)
    network, initial = initial_network(recipe, task, data.train.classes, drawn=restored)
    if initial is not None and initial.sha256 != plan.weights_sha256:
        raise FileError(
            f"{recipe.weights} is not the file of weights that the run began with: put that one back, or train anew."
        )
    first = phase.first_step if phase else 0
    planned = phase.planned if phase else plan.lengths
    training = Training(
        recipe, plan.environment, task, network, len(data.train), ranks, first_step=first, planned=planned
    )
    if initial is not None:
        training.given_head = initial.head
    if recipe.teacher is not None:
        teacher = open_teacher(recipe, data.train.classes, training.device)
        if sha256_of(find_model_file(recipe.teacher.model)) != plan.teacher_sha256:
            raise FileError(
                f"{recipe.teacher.model} is not the teacher that the run began with: put that one back, or train anew."
            )
        training.learner.teacher = teacher
    if recipe.memory_limit is not None:
        memory.keep_within_limit(training)
    batches = batches_for(  # by the recipe of the whole run: an extension goes on with its order of the data
        plan.recipe,
        data,
        device=training.device,
        bn_batch=training.bn_batch,
        rows=training.rows,
        workers=plan.workers,
        size_at=_sizes(training, extends=phase is not None and phase.extends),
    )
    return training, batches


def _sizes(training: Training, *, extends: bool) -> Callable[[int], int | None] | None:
    """The size of the inputs of each step; None for that of the recipe's length. An extension has the last size: it
    goes on from where the schedule ended, whatever length was planned or cut."""
    if extends:
        return lambda step: training.recipe.augmentations.size_at(1.0)
    return training.length.input_size if training.length.planned else None


def batches_for(
    recipe: Recipe,
    data: PreparedData,
    *,
    device: torch.device,
    bn_batch: int | None = None,
    rows: slice | None = None,
    workers: int = 0,
    size_at: Callable[[int], int | None] | None = None,
) -> Batches:
    """The training batches of a resolved recipe; see `Batches`.

    Args:
        size_at: of the inputs of a step; by default as in a run of the recipe's length.
    """
    bn_batch = bn_batch or recipe.bn_batch or recipe.batch
    copies, ghost_batches = recipe.repeated_augmentation, recipe.batch // bn_batch
    labels = sampled_labels(recipe.balance, data.train)
    balance = None if labels is None else ClassBalance(labels)
    return Batches(
        data.train,
        sampler=EpochSampler(len(data.train), recipe.batch, recipe.seed, copies, ghost_batches, balance),
        reader=open_reader(recipe.preprocessing, recipe.augmentations),
        seed=recipe.seed,
        bn_batch=bn_batch,
        device=device,
        rows=rows,
        workers=workers,
        prepared=data.train_scan.prepared,
        size_at=size_at or (lambda step: recipe.size_at(step, len(data.train))),
        replace_damaged=recipe.damaged == "exclude",
    )


def restore(training: Training, found: Saved, folder: RunFolder) -> None:
    """Loads a checkpoint into `training`.

    Raises:
        FileError: it is of another network, or of another length of run.
    """
    state = found.state
    try:
        if not training.length.first_step <= state.step <= training.total_steps:
            raise ValueError(f"it is of step {state.step}")
        training.restore(found.tensors, state.step, state.plateau)
        training.skipped.fill_(state.skipped)
        if found.tensors["losses"].ndim != 1:
            raise ValueError("its losses are not a list")
    except (RuntimeError, KeyError, ValueError) as error:
        raise FileError(
            f"The checkpoint of step {state.step} in {folder.checkpoints} does not fit the run "
            f"({str(error).splitlines()[0]}). Nothing was changed: put a copy back, or train anew: "
            f"resnets train {folder.recipe} --out FOLDER."
        ) from error


@contextlib.contextmanager
def arithmetic_of(plan: Plan) -> Iterator[None]:
    """Context manager that sets torch's threads, its use of memory, full float32 and determinism as the plan says."""
    here, limited = plan.environment, plan.recipe.memory_limit is not None
    with (
        environment.threads(here.threads),
        memory.allocation(here.device, limited=limited),
        full_float32(),
        deterministic(plan.recipe.deterministic),
    ):
        yield
