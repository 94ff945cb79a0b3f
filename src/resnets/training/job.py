"""From a recipe to a trained model: opens the data, sets the recipe's open ends, runs the loop, writes the folder.

A run begins in `train` and, where it was cut off, goes on in `resume`; both end in `_go`.
"""

from __future__ import annotations

import contextlib
import hashlib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from resnets.artifacts import model_file
from resnets.artifacts.model_file import ModelCard
from resnets.cores import default_workers
from resnets.data.batches import Batches, Order
from resnets.data.catalog import open_dataset
from resnets.data.remarks import notes_on
from resnets.data.sources import Dataset, Source, SplitName, Subset
from resnets.data.splits import SplitRule, with_watched_split
from resnets.data.survey import Survey, normalized, survey
from resnets.devices import full_float32
from resnets.errors import DataError, FileError, ResnetsError, TrainingError, UsageError
from resnets.evaluation.judge import Single
from resnets.evaluation.report import write_report
from resnets.evaluation.score import Scores, score
from resnets.frozen import encode
from resnets.models.counts import multiply_adds
from resnets.models.initialize import initialize
from resnets.models.resnet import ResNet
from resnets.tasks.classification import Classification
from resnets.training import checkpoint, memory, run_split
from resnets.training import environment as environments
from resnets.training.deterministic import deterministic, reserve_cublas
from resnets.training.diagnosis import Diagnosis, diagnose
from resnets.training.keeping import Watch, locked, pending_losses, stopping
from resnets.training.loop import Training, group_size, run
from resnets.training.ranks import LIMIT, Ranks, joined
from resnets.training.recipe import Recipe
from resnets.training.run_folder import (
    Event,
    Keeping,
    Listener,
    Log,
    Plan,
    RunFolder,
    read_log,
    read_plan,
    write_plan,
)


@dataclass(frozen=True)
class Data:
    """A dataset that was looked through and found fit for training.

    Args:
        test: the split that training evaluates on, `dataset.watched`.
        dataset: as it was split, with the images that are left out as damaged.
    """

    train: Source
    test: Source
    train_survey: Survey
    test_survey: Survey
    notes: tuple[str, ...]
    dataset: Dataset

    def sha256(self) -> str:
        """Over the training pictures' labels and names, without the folder they lie in."""
        digest = hashlib.sha256(self.train.labels.tobytes())
        digest.update("\0".join(self.train.classes).encode(errors="surrogateescape"))
        for index in range(len(self.train)):
            digest.update(
                self.train.name(index).replace("\\", "/").rpartition("/")[2].encode(errors="surrogateescape") + b"\0"
            )
        return digest.hexdigest()


def resolve(recipe: Recipe, split_rule: SplitRule = "hash") -> tuple[Recipe, Data]:
    """The recipe with its open ends set by the data (classes, channels, colour, statistics), and the data.

    Args:
        split_rule: how images are held out of data without `val` and `test`; see `Plan`.

    Raises:
        DataError: the data is missing, or damaged and the recipe does not say to leave that out.
    """
    dataset = with_watched_split(open_dataset(recipe.data), recipe.data, holdout=recipe.holdout, rule=split_rule)
    test = dataset.test
    preprocessing = recipe.preprocessing
    if dataset.color == "L" and preprocessing.color != "L":
        preprocessing = replace(preprocessing, color="L", mean=(0.5,), std=(0.5,), mean_image=None)
    keep = recipe.views.crop is None
    train_survey = survey(dataset.train, preprocessing, keep=keep, statistics=recipe.normalize != "given")
    test_survey = survey(test, preprocessing, keep=True, statistics=False)
    train, notes = _without_damaged(recipe, dataset, train_survey)
    if test_survey.damaged:
        first = next(iter(test_survey.damaged.values()))
        if len(test_survey.damaged) == len(test):
            raise DataError(f"No {dataset.watched} picture can be read: {first}")
        notes += (f"{len(test_survey.damaged)} {dataset.watched} pictures cannot be read and count nowhere: {first}",)
    for split, found, source in (("train", train_survey, dataset.train), (dataset.watched, test_survey, test)):
        notes += notes_on(found.remarks, len(source), split, preprocessing.background)
    if isinstance(train, Subset) and train is not dataset.train and train_survey.pixels is not None:
        train_survey = replace(train_survey, pixels=train_survey.pixels[train.indices])
    preprocessing = normalized(preprocessing, recipe.normalize, train_survey)
    model = replace(recipe.model, classes=len(train.classes), channels=preprocessing.channels)
    resolved = replace(recipe, model=model, preprocessing=preprocessing, normalize="given")
    return resolved, Data(train, test, train_survey, test_survey, notes, dataset)


def _without_damaged(recipe: Recipe, dataset: Dataset, found: Survey) -> tuple[Source, tuple[str, ...]]:
    damaged = found.damaged
    if not damaged:
        return dataset.train, dataset.notes
    listed = "\n  ".join(list(damaged.values())[:5])
    if recipe.damaged == "refuse":
        raise DataError(
            f"{len(damaged)} of {len(dataset.train)} training pictures cannot be read:\n  {listed}\n"
            "Mend or remove them, or train without them: damaged=exclude."
        )
    if len(damaged) == len(dataset.train):
        raise DataError(f"No training picture can be read:\n  {listed}")
    kept = Subset(dataset.train, np.array([i for i in range(len(dataset.train)) if i not in damaged], np.int64))
    if len(set(kept.labels.tolist())) < len(kept.classes):
        raise DataError(f"Without its damaged pictures the training data lacks a class:\n  {listed}")
    return kept, (*dataset.notes, f"{len(damaged)} training pictures cannot be read and were left out:\n  {listed}")


def train(
    recipe: Recipe,
    folder: RunFolder,
    *,
    device: str = "auto",
    workers: int | None = None,
    keeping: Keeping | None = None,
    rank_timeout: float = LIMIT,
    listeners: Sequence[Listener] = (),
) -> Scores:
    """Runs `recipe` in `folder`, which is made once the data was found fit; returns the scores of the final weights."""
    recipe.initialization.check(recipe.model)
    _reserve(recipe, device)
    with joined(device, rank_timeout) as (ranks, own_device):
        # From here on a part of the recipe: resumed on more or fewer ranks, batch norm still sees the same samples.
        group = group_size(recipe, ranks.world)
        found = environments.choose(own_device, recipe.precision)  # refuses a wrong device before the data is read
        if recipe.capture and (ranks.world > 1 or not found.device.startswith("cuda")):
            raise UsageError(f"capture=true is for one CUDA device, not {ranks.world} of {found.device}.")
        recipe, data = resolve(replace(recipe, group=group))
        recipe.check_length(len(data.train))
        if keeping is not None:
            keeping.check_classes(len(data.train.classes))
        work = multiply_adds(recipe.model, recipe.largest_size) * group
        environment = environments.choose(own_device, recipe.precision, work)
        notes: list[str] = []
        if recipe.batch > len(data.train):
            notes.append(
                f"A step takes {recipe.batch:,} pictures and there are {len(data.train):,}: steps are few, and see "
                f"some twice. Take a smaller batch, such as batch={max(2, min(64, len(data.train) // 8))}."
            )
        if environment.jpeg_decoder == "Pillow" and recipe.views.crop is not None:
            notes.append("This torchvision has no operator for JPEG files: Pillow decodes them, to the same pixels.")
        if recipe.memory_limit is not None:
            left = memory.room(recipe, torch.device(environment.device))
            fitting = memory.group_within_limit(recipe, environment.precision, group, left)
            if fitting < group:
                recipe = replace(recipe, group=fitting)
                notes.append(
                    f"memory_limit={recipe.memory_limit} holds no {group} pictures at a time: batch norm sees "
                    f"{fitting} of each batch of {recipe.batch} at a time, which is another computation."
                )
        if workers is None:
            workers = 0 if data.train_survey.pixels is not None else default_workers()
        plan = Plan(
            recipe=recipe,
            environment=environment,
            keeping=keeping or Keeping(),
            workers=workers,
            data_sha256=data.sha256(),
            split_rule="hash",
        )
        with _held(folder, ranks, plan):
            if ranks.leads:
                if folder.recipe.exists():
                    raise UsageError(f"Another process has just begun a run in {folder.path}: give another --out.")
                run_split.write(folder.split, data.dataset)
                write_plan(folder.recipe, plan)
            return _go(plan, data, folder, ranks, listeners, notes)


def resume(
    folder: RunFolder,
    *,
    memory_limit: str | None = None,
    rank_timeout: float = LIMIT,
    listeners: Sequence[Listener] = (),
) -> Scores | None:
    """Goes on with the run in `folder` where its last whole checkpoint was written; None if it had ended.

    Args:
        memory_limit: in place of the recipe's and of its `capture`, for the same groups and the same result.

    Raises:
        FileError: no run is there, or it is damaged beyond its checkpoints.
        DataError: the data is gone or is not what it was.
    """
    plan = read_plan(folder.recipe)
    if is_finished(folder):
        return None
    if memory_limit is not None:
        plan = replace(plan, recipe=replace(plan.recipe, memory_limit=memory_limit, capture=False))
    _reserve(plan.recipe, plan.environment.device)
    with joined(plan.environment.device.partition(":")[0], rank_timeout) as (ranks, device):
        plan, notes = _here(plan, device)
        _, data = resolve(plan.recipe, plan.split_rule)
        _check_data(plan, data, folder)
        with _held(folder, ranks, plan):
            if ranks.leads and not folder.split.exists():  # of a run that version 0.1.0 began
                run_split.write(folder.split, data.dataset)
            return _go(plan, data, folder, ranks, listeners, notes)


def replay(folder: RunFolder, step: int) -> Diagnosis:
    """What `step` (from 1) of the run in `folder` does, made again from the last checkpoint before it.

    Raises:
        UsageError: the run has no such step.
    """
    plan = read_plan(folder.recipe)
    _reserve(plan.recipe, plan.environment.device)
    plan, _ = _here(plan, None)
    _, data = resolve(plan.recipe, plan.split_rule)
    _check_data(plan, data, folder)
    with _as_planned(plan):
        training, batches = _build(plan, data, Ranks())
        if not 1 <= step <= training.total_steps:
            raise UsageError(f"The run has steps 1 to {training.total_steps}, not {step}.")
        found, _ = checkpoint.newest(folder.checkpoints, plan.sha256, before=step)
        if found is not None:
            training.restore(found[0], found[1].step, found[1].plateau)
        training.prepare(batches)
        for batch in batches.between(training.steps_done, step - 1):
            training.step(batch)
        return replace(diagnose(training, batches, step - 1), notes=data.notes)


def _reserve(recipe: Recipe, device: str) -> None:
    """Before anything uses CUDA, what a deterministic run needs there."""
    if recipe.deterministic and device != "cpu":
        reserve_cublas()


def is_finished(folder: RunFolder) -> bool:
    """Whether the run's log has its end."""
    return folder.log.exists() and [e.get("event") for e in read_log(folder.log)[-1:]] == ["end"]


def _here(plan: Plan, device: str | None) -> tuple[Plan, list[str]]:
    """The plan on this machine, and what differs from where it began."""
    then = plan.environment
    now = environments.choose(device or then.device, then.precision)
    now = replace(now, threads=then.threads)
    changed = then.changes(now)
    notes = [f"This is not where the run began ({'; '.join(changed)}): the last bits may differ."] if changed else []
    return replace(plan, environment=now), notes


def _check_data(plan: Plan, data: Data, folder: RunFolder) -> None:
    if data.sha256() != plan.data_sha256:
        raise DataError(
            f"{plan.recipe.data} does not hold the training pictures that {folder.path} began with. Put them back, or "
            f"train anew: resnets train {folder.recipe} --out FOLDER."
        )


@contextlib.contextmanager
def _held(folder: RunFolder, ranks: Ranks, plan: Plan) -> Iterator[None]:
    """The run's folder for these ranks alone, with its threads and its way with memory."""
    lock = locked(folder.checkpoints) if ranks.leads else contextlib.nullcontext()
    with lock, _as_planned(plan):
        yield


@contextlib.contextmanager
def _as_planned(plan: Plan) -> Iterator[None]:
    """The plan's number of threads, its way with memory and its arithmetic: float32 is float32, and deterministic."""
    here, limited = plan.environment, plan.recipe.memory_limit is not None
    with (
        environments.threads(here.threads),
        memory.allocation(here.device, limited=limited),
        full_float32(),
        deterministic(plan.recipe.deterministic),
    ):
        yield


def _build(plan: Plan, data: Data, ranks: Ranks) -> tuple[Training, Batches]:
    recipe = plan.recipe
    task = Classification(label_smoothing=recipe.label_smoothing)
    network = task.build(recipe.model)
    assert isinstance(network, ResNet)
    initialize(network, seed=recipe.seed, how=recipe.initialization)
    training = Training(recipe, plan.environment, task, network, len(data.train), ranks)
    if recipe.memory_limit is not None:
        memory.keep_within_limit(training)
    batches = batches_for(
        recipe, data, device=training.device, group=training.group, rows=training.rows, workers=plan.workers
    )
    return training, batches


def batches_for(
    recipe: Recipe,
    data: Data,
    *,
    device: torch.device,
    group: int | None = None,
    rows: slice | None = None,
    workers: int = 0,
) -> Batches:
    """The training batches of a resolved recipe; see `Batches`."""
    return Batches(
        data.train,
        order=Order(len(data.train), recipe.batch, recipe.seed),
        views=recipe.views,
        preprocessing=recipe.preprocessing,
        seed=recipe.seed,
        group=group or recipe.group or recipe.batch,
        device=device,
        rows=rows,
        workers=workers,
        pixels=data.train_survey.pixels,
        size_at=lambda step: recipe.size_at(step, len(data.train)),
    )


def _go(
    plan: Plan, data: Data, folder: RunFolder, ranks: Ranks, listeners: Sequence[Listener], notes: list[str]
) -> Scores:
    """Trains from the newest checkpoint, or from the start, to the end."""
    ranks.meet()  # one may have read its data long before another
    training, batches = _build(plan, data, ranks)
    found, damaged = checkpoint.newest(folder.checkpoints, plan.sha256)
    if len(set(ranks.gather(found[1].step if found else 0))) > 1:
        raise FileError(f"The ranks see different checkpoints in {folder.checkpoints}: it must be a folder they share.")
    log = Log(folder.log, found[1].log_bytes if found else 0) if ranks.leads else None
    history = read_log(folder.log) if ranks.leads else []
    told: tuple[Listener, ...] = (log, history.append, *listeners) if log else ()

    def tell(event: Event) -> None:
        for listener in told:
            listener(event)

    def scores_of(source: Source, found: Survey, split: SplitName) -> Scores:
        pixels = None if found.damaged else found.pixels
        judge = Single(
            training.evaluated_network,
            plan.recipe.preprocessing,
            view=plan.recipe.test_view,
            device=training.device,
            pixels=pixels,
        )
        return score(
            judge,
            training.task,
            source,
            split=split,
            workers=plan.workers,
            rank=ranks.rank,
            world=ranks.world,
            gather=ranks.gather,
        )

    def evaluate() -> Scores:
        scores = scores_of(data.test, data.test_survey, data.dataset.watched)
        if not plan.recipe.score_training:
            return scores
        own = scores_of(data.train, replace(data.train_survey, damaged={}), "train")  # without those that were left out
        return replace(scores, metrics=scores.metrics | {f"train_{k}": own.metrics[k] for k in ("accuracy", "loss")})

    def save_model(scores: Scores, best: bool = False) -> None:
        card = ModelCard(
            spec=plan.recipe.model,
            classes=tuple(data.train.classes),
            preprocessing=plan.recipe.preprocessing,
            recipe=encode(plan.recipe),
            environment=encode(plan.environment),
            metrics=scores.summary(),
        )
        path = folder.best if best else folder.model
        model_file.save(path, training.evaluated_network.state_dict(), card)
        if not best:
            title = f"{scores.split} of {plan.recipe.name}"
            write_report(folder.report, title=title, scores=scores, source=data.test, card=card, history=history)

    losses: list[torch.Tensor] = []
    if found:
        training.restore(found[0], found[1].step, found[1].plateau)
        training.skipped.fill_(found[1].skipped)
        losses = pending_losses(found[0], training)
        # A resumed run prints the same lines; only its log has none of this.
        resumed = f"Going on after step {found[1].step} of {training.total_steps}."
        _say(history, listeners if ranks.leads else (), [resumed, *notes, *damaged])
    else:
        tell(_start(plan, data, training, [*notes, *damaged]))
    with stopping() as asked:
        watch = Watch(
            training,
            plan.keeping,
            folder.checkpoints,
            recipe_sha256=plan.sha256,
            asked=asked,
            log_bytes=log.length if log else lambda: 0,
            save_best=lambda scores: save_model(scores, best=True),
            seconds=found[1].seconds if found else 0.0,
            best=found[1].best if found else None,
            unlogged=losses,
        )
        try:
            training.prepare(batches)
            scores = run(training, batches, evaluate, tell, watch, losses)
            if ranks.leads:
                save_model(scores)
            watch.close()
            tell({"event": "end", "seconds": watch.seconds, **watch.cost(), "skipped": int(training.skipped)})
            ranks.gather(None)  # none leaves before the model is there
        except ResnetsError as error:
            _add_way_on(error, training, watch, folder)
            raise
        except (RuntimeError, MemoryError) as error:
            if not memory.is_out_of_memory(error):
                raise
            traceback.clear_frames(error.__traceback__)  # they hold the step's tensors
            advised = TrainingError(memory.advice(training, batches))
            _add_way_on(advised, training, watch, folder)
            raise advised from error
        finally:
            with contextlib.suppress(ResnetsError):
                watch.close()
            if log:
                log.close()
    return scores


def _say(history: Sequence[Event], listeners: Sequence[Listener], notes: list[str]) -> None:
    """Shows those who watch the run's start again, with `notes`; the log has it already."""
    start = next((event for event in history if event.get("event") == "start"), None)
    if start is not None:
        for listener in listeners:
            listener({**start, "notes": [*start.get("notes", []), *notes]})


def _start(plan: Plan, data: Data, training: Training, notes: list[str]) -> Event:
    return {
        "event": "start",
        "recipe": plan.recipe.name,
        "steps": training.total_steps,
        "epochs": training.total_steps * plan.recipe.batch / len(data.train),
        "train_samples": len(data.train),
        "test_samples": len(data.test),
        "split": data.dataset.watched,
        "parameters": sum(p.numel() for p in training.network.parameters()),
        "environment": encode(plan.environment),
        "world": training.ranks.world,
        "notes": [*data.notes, *notes],
    }


def _add_way_on(error: ResnetsError, training: Training, watch: Watch, folder: RunFolder) -> None:
    """Adds to `error` what is saved and how to go on; what can still be saved is."""
    if isinstance(error, DataError) and training.ranks.world == 1 and watch.seen == training.steps_done:
        with contextlib.suppress(ResnetsError):
            watch.save()
    with contextlib.suppress(ResnetsError):
        watch.close()
    saved = checkpoint.steps(folder.checkpoints)
    way = f"Step {saved[0]} is saved: go on with: resnets resume {folder.path}" if saved else "No step is saved yet."
    error.args = (f"{error} {way}", *error.args[1:])
