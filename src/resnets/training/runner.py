"""Training runs: where one begins (`train`), goes on (`resume`), and has one of its steps made again (`replay`).

Each prepares the data (`training.prepare`), writes or reads the plan (`training.plan`) and hands both to a `Session`
(`training.session`), which trains, evaluates and saves.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from resnets.core import clock
from resnets.core.errors import FileError, UsageError
from resnets.core.workers import default_workers
from resnets.evaluation.scoring import Scores
from resnets.models.counts import multiply_adds
from resnets.training import agreement, checkpoint, memory, run_split, time_budget
from resnets.training import environment as environments
from resnets.training.batch_norm import bn_batch_size
from resnets.training.build import arithmetic_of, build_training, check_task, initial_network, restore, task_of
from resnets.training.checkpoint import Saved
from resnets.training.damage import DamageLog
from resnets.training.deterministic import reserve_cublas
from resnets.training.diagnosis import Diagnosis, diagnose, repeat
from resnets.training.distributed import LIMIT, Ranks, process_group
from resnets.training.environment import Environment
from resnets.training.events import Subscriber
from resnets.training.extension import extend, phases_of
from resnets.training.lock import locked_for
from resnets.training.plan import CheckpointPolicy, Plan, TrackerName, read_plan, write_plan
from resnets.training.prepare import PreparedData, absolute_path, moved_to, reopen, resolve
from resnets.training.recipe import Recipe
from resnets.training.recipe_checks import check_soup, check_val
from resnets.training.run_folder import RunFolder
from resnets.training.run_log import read_log
from resnets.training.session import Session
from resnets.training.teacher import with_teacher
from resnets.training.trackers.catalog import tracked


def train(
    recipe: Recipe,
    folder: RunFolder,
    *,
    device: str = "auto",
    workers: int | None = None,
    checkpoints: CheckpointPolicy | None = None,
    rank_timeout: float = LIMIT,
    trackers: Sequence[TrackerName] = (),
    subscribers: Sequence[Subscriber] = (),
    started: float | None = None,
    first_notes: Sequence[str] = (),
) -> Scores:
    """Runs `recipe` in `folder`, which is made once the data is found fit; returns the scores of model.safetensors.

    Args:
        rank_timeout: seconds after which the ranks under torchrun give up on one that does not respond.
        trackers: that get the events too, also after a `resume`; one that is not installed is left out with a note.
        started: when the command began, from which a time budget counts; see `core.clock`. By default now.
        first_notes: for the person who trains, before those of the run.

    Raises:
        UsageError: a setting is wrong for this machine or this data, the time is too short, or the ranks differ.
        DataError: the data is missing or damaged.
        TrainingError: a gradient is not finite, memory is short, or a rank is gone.
    """
    started = clock.command_start() if started is None else started
    recipe.initialization.check(recipe.model)
    _reserve_deterministic(recipe, device)
    with process_group(device, rank_timeout) as (ranks, own_device):
        recipe, data = resolve(
            agreement.together(ranks, lambda: _on_these_ranks(recipe, own_device, ranks)), ranks=ranks
        )
        environment = _environment(recipe, data, checkpoints, own_device, ranks)
        notes = [*first_notes, *_notes(recipe, data, environment)]
        if recipe.memory_limit is not None:
            recipe, more = memory.within_limit(recipe, environment, ranks)
            notes += more
        initial = None
        if recipe.weights is not None:
            if os.path.exists(recipe.weights):  # a resume may start in another folder
                recipe = replace(recipe, weights=os.path.abspath(recipe.weights))
            initial = agreement.together(ranks, lambda: initial_network(recipe, task_of(recipe), data.train.classes)[1])
            notes += initial.notes if initial else ()
        recipe, teacher = agreement.together(ranks, lambda: with_teacher(recipe, data.train.classes))
        if workers is None:
            workers = 0 if data.train_scan.prepared is not None else default_workers()
        plan = Plan(
            recipe=recipe,
            environment=environment,
            checkpoints=checkpoints or CheckpointPolicy(),
            workers=workers,
            data_sha256=data.sha256(),
            weights_sha256=initial.sha256 if initial else None,
            teacher_sha256=teacher,
            data_fingerprint="contents",
            split_rule="groups" if data.splits.uses_group_column else "hash",
            data_path=absolute_path(recipe.data),
            trackers=tuple(trackers),
        )
        agreement.require_equal(
            ranks, {"recipe.bn_batch": recipe.bn_batch, "weights": plan.weights_sha256, "teacher": teacher}
        )
        budget, planned = time_budget.begun(plan, data, ranks, started)
        if budget is not None:
            notes += budget.notes(recipe, planned.lengths[-1], len(data.train))
        with locked_for(ranks, folder.checkpoints), arithmetic_of(plan):
            agreement.from_rank_0(ranks, lambda: _write_folder(folder, plan, data))
            with tracked(folder, plan.trackers if ranks.is_main else ()) as own:
                return Session(planned, data, folder, ranks, (*subscribers, *own), budget=budget).run(notes)


def resume(
    folder: RunFolder,
    *,
    data: str | None = None,
    epochs: float | None = None,
    memory_limit: str | None = None,
    rank_timeout: float = LIMIT,
    subscribers: Sequence[Subscriber] = (),
    started: float | None = None,
) -> Scores | None:
    """Goes on with the run in `folder` from its last whole checkpoint; returns None if the run had ended.

    Args:
        data: where the run's data lies now; recorded for later resumes.
        epochs: how much longer a finished run trains; see `training.extension`.
        memory_limit: in place of the recipe's and of its `cuda_graph`, for the same ghost batches and the same result.
        rank_timeout: seconds after which the ranks under torchrun give up on one that does not respond.
        started: when the command began, from which the rest of a time budget counts; see `core.clock`. By default now.

    Raises:
        FileError: no run is there, or its log, its model or all its checkpoints are damaged or cannot be read.
        DataError: the data is missing or is not what it was.
        UsageError: `epochs` is given and the run has not finished, or the ranks differ.
    """
    started = clock.command_start() if started is None else started
    recorded = read_plan(folder.recipe)
    _reserve_deterministic(recorded.recipe, recorded.environment.device)
    with process_group(recorded.environment.device.partition(":")[0], rank_timeout) as (ranks, device):
        asked = {"--data is given": data is not None, "--epochs": epochs, "--memory-limit": memory_limit}
        agreement.require_equal(ranks, asked)
        finished = agreement.from_rank_0(ranks, lambda: is_finished(folder))
        if epochs is None and finished:
            return None
        if epochs is not None and not finished:
            raise UsageError(
                f"The run in {folder.path} has not finished, so it cannot be made longer yet: first go on with: "
                f"resnets resume {folder.path}"
            )
        with locked_for(ranks, folder.checkpoints):
            # Before the data is read, which can take long.
            found = None if epochs is not None else _last_checkpoint(recorded, folder, ranks)
            if data is not None:
                place = data
                recorded = replace(recorded, data_path=agreement.together(ranks, lambda: moved_to(place)))
            plan, notes = _on_this_machine(recorded, device)
            if memory_limit is not None:
                plan = replace(plan, recipe=replace(plan.recipe, memory_limit=memory_limit, cuda_graph=False))
            opened = reopen(recorded, folder, ranks)
            agreement.require_equal(ranks, agreement.facts_of(plan.recipe, plan.environment))
            if epochs is not None:
                more, samples = epochs, len(opened.train)
                recorded = agreement.from_rank_0(ranks, lambda: extend(folder, recorded, more, samples))
                plan = replace(plan, extensions=recorded.extensions)
                found = _last_checkpoint(recorded, folder, ranks)
            elif data is not None:
                agreement.from_rank_0(ranks, lambda: write_plan(folder.recipe, recorded))
            if ranks.is_main and not folder.split.exists():  # of a run that version 0.1.0 began
                run_split.write(folder.split, opened.splits)
            budget, plan = time_budget.resumed(plan, opened, folder, ranks, started, found)
            with arithmetic_of(plan), tracked(folder, plan.trackers if ranks.is_main else ()) as own:
                return Session(plan, opened, folder, ranks, (*subscribers, *own), found, budget).run(notes)


def replay(folder: RunFolder, step: int) -> Diagnosis:
    """Makes `step` (from 1) of the run in `folder` again from the last checkpoint before it; returns what it does.

    Raises:
        UsageError: the run has no such step.
        FileError: the checkpoint that it needs is gone or damaged.
    """
    recorded = read_plan(folder.recipe)
    _reserve_deterministic(recorded.recipe, recorded.environment.device)
    plan, _ = _on_this_machine(recorded, None)
    plan = replace(plan, lengths=plan.lengths or time_budget.lengths_so_far(plan, folder))
    data = reopen(recorded, folder)
    phases = phases_of(plan, len(data.train))
    total = phases[-1].end(len(data.train))
    if not 1 <= step <= total:
        raise UsageError(f"The run has steps 1 to {total}, not {step}.")
    phase = next(phase for phase in phases if step <= phase.end(len(data.train)))
    with arithmetic_of(plan):
        found = checkpoint.newest(folder.checkpoints, plan.sha256, before=step)
        training, batches = build_training(plan, data, Ranks(), phase, restored=found is not None)
        if phase.extends and (found is None or found.state.step < phase.first_step):
            raise FileError(f"No checkpoint in {folder.checkpoints} is of the extension that step {step} belongs to.")
        if found is not None:
            restore(training, found, folder)
        training.prepare(batches)
        pending = found is not None and found.state.evaluation_pending
        repeat(training, batches, step - 1, read_log(folder.log), pending=pending)
        return replace(diagnose(training, batches, step - 1), notes=data.notes)


def is_finished(folder: RunFolder) -> bool:
    """Whether the run's log has its end, and that of each extension."""
    events = read_log(folder.log) if os.path.lexists(folder.log) else []
    last = [event for event in events if event["event"] != "warning"][-1:]  # a subscriber may fail at the end
    extensions = len(read_plan(folder.recipe).extensions)
    return any(e["event"] == "end" and e.get("extensions", 0) == extensions for e in last)


def _on_these_ranks(recipe: Recipe, device: str, ranks: Ranks) -> Recipe:
    """The recipe with its ghost batches fixed: resumed on more or fewer ranks, batch norm sees the same samples.

    Raises:
        UsageError: the ranks or the device do not fit the recipe. That is found before the data is read.
    """
    bn_batch = bn_batch_size(recipe, ranks.world)
    found = environments.choose(device, recipe.precision)
    if recipe.cuda_graph and (ranks.world > 1 or not found.device.startswith("cuda")):
        raise UsageError(f"cuda_graph=true is for one CUDA device, not {ranks.world} of {found.device}.")
    return replace(recipe, bn_batch=bn_batch)


def _environment(
    recipe: Recipe, data: PreparedData, checkpoints: CheckpointPolicy | None, device: str, ranks: Ranks
) -> Environment:
    """The environment of a new run, once the recipe is found to fit the data; threads are those of rank 0."""

    def checked() -> Environment:
        check_task(recipe, data.train.classes)  # before anything is written
        recipe.check_length(len(data.train))
        check_soup(recipe.soup, data.splits.watched)
        check_val(recipe.task, data.splits.watched)
        if checkpoints is not None:
            checkpoints.check_data(recipe.task, data.splits.watched, len(data.train.classes))
        work = multiply_adds(recipe.model, recipe.largest_shape) * (recipe.bn_batch or recipe.batch)
        return environments.choose(device, recipe.precision, work)

    environment = agreement.together(ranks, checked)
    agreement.require_equal(ranks, agreement.facts_of(recipe, environment))
    threads = environment.threads
    return replace(environment, threads=agreement.from_rank_0(ranks, lambda: threads))


def _notes(recipe: Recipe, data: PreparedData, environment: Environment) -> list[str]:
    """What a person should know before a new run, a line each."""
    notes: list[str] = []
    if recipe.batch > len(data.train):
        smaller = max(2, min(64, len(data.train) // 8))
        notes.append(
            f"A step takes {recipe.batch:,} {recipe.preprocessing.noun}s and there are {len(data.train):,}: steps are "
            f"few, and see some twice. Take a smaller batch, such as batch={smaller}."
        )
    if environment.jpeg_decoder == "Pillow" and recipe.augmentations.decodes_jpeg:
        notes.append("This torchvision has no operator for JPEG files: Pillow decodes them, to the same pixels.")
    return notes


def _write_folder(folder: RunFolder, plan: Plan, data: PreparedData) -> None:
    """Writes what a run has before its first step: the record of its split, what is damaged, and its plan."""
    if folder.recipe.exists():
        raise UsageError(f"Another process has just begun a run in {folder.path}: give another --out.")
    run_split.write(folder.split, data.splits)
    DamageLog(folder.path).write_scan(data.scanned)
    write_plan(folder.recipe, plan)


def _last_checkpoint(plan: Plan, folder: RunFolder, ranks: Ranks) -> Saved | None:
    """The newest whole checkpoint, once the log is found to fit it; None where there is none."""

    def read() -> Saved | None:
        found = checkpoint.newest(folder.checkpoints, plan.sha256)
        if found is not None and ranks.is_main and os.path.lexists(folder.log):
            read_log(folder.log, found.state.log_bytes)
        return found

    found = agreement.together(ranks, read)
    if len(set(ranks.gather(found.state.step if found else 0))) > 1:
        raise FileError(f"The ranks see different checkpoints in {folder.checkpoints}: it must be a folder they share.")
    return found


def _on_this_machine(plan: Plan, device: str | None) -> tuple[Plan, list[str]]:
    """The plan in the environment of this machine, and a note on what differs from where the run began."""
    then = plan.environment
    now = environments.choose(device or then.device, then.precision)
    now = replace(now, threads=then.threads)
    changed = then.changes(now)
    notes = [f"This is not where the run began ({'; '.join(changed)}): the last bits may differ."] if changed else []
    return replace(plan, environment=now), notes


def _reserve_deterministic(recipe: Recipe, device: str) -> None:
    """Reserves what a deterministic run needs on CUDA, before anything uses it."""
    if recipe.deterministic and device != "cpu":
        reserve_cublas()
