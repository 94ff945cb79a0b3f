"""From a recipe to a trained model: opens the data, sets the recipe's open ends, runs the loop, writes the folder.

A run begins in `train` and, where it was cut off, goes on in `resume`; both end in `_go`.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from resnets.artifacts import model_file
from resnets.artifacts.model_file import ModelCard
from resnets.core.config import encode
from resnets.core.devices import full_float32
from resnets.core.errors import DataError, FileError, ResnetsError, TrainingError, UsageError
from resnets.core.units import show_count
from resnets.core.workers import default_workers
from resnets.data.file_table import FileTables
from resnets.data.fingerprint import Fingerprint, contents_sha256, names_sha256
from resnets.data.loader import Batches, Order
from resnets.data.scan import DatasetScan, normalized, resident_pixels
from resnets.data.splits import SplitRule, with_watched_split
from resnets.evaluation.predictor import NetworkPredictor
from resnets.evaluation.scoring import Scores
from resnets.modalities.base import Dataset, DatasetSplits, SplitName, Subset
from resnets.modalities.catalog import NAMES, open_dataset
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.read.pillow import Pixels
from resnets.modalities.image.remarks import notes_on
from resnets.models.counts import multiply_adds
from resnets.models.initialize import initialize
from resnets.models.resnet import ResNet
from resnets.reporting.report import write_report
from resnets.tasks.classification.task import Classification
from resnets.training import agreement, checkpoint, memory, run_split
from resnets.training import environment as environments
from resnets.training.batch_norm import bn_batch_size
from resnets.training.callbacks import CheckpointCallback, pending_losses
from resnets.training.checkpoint import Saved
from resnets.training.damage import Damage, DamageLog, with_record
from resnets.training.deterministic import deterministic, reserve_cublas
from resnets.training.diagnosis import Diagnosis, diagnose
from resnets.training.distributed import LIMIT, Ranks, process_group
from resnets.training.environment import Environment
from resnets.training.extension import Phase, extend, extended_event, phases_of
from resnets.training.interruptible import EvaluationStopped, Interruptible
from resnets.training.lock import locked
from resnets.training.loop import run
from resnets.training.recipe import Recipe
from resnets.training.run_folder import CheckpointPolicy, Event, Plan, RunFolder, Subscriber, read_plan, write_plan
from resnets.training.run_log import Log, read_log
from resnets.training.shared_scan import require_same_files, scan_once
from resnets.training.signals import stop_signals
from resnets.training.step import Training
from resnets.training.subscribers import Subscribers


@dataclass(frozen=True)
class PreparedData:
    """A dataset that was scanned and found fit for training.

    Args:
        train: the images to learn from, without those that are left out as damaged.
        test: the split that training evaluates on, `splits.watched`.
        train_scan: of the images of `train`.
        test_scan: of the images of `test`.
        scanned: what was scanned, with what was found: all that damaged.jsonl says before step 1.
        preprocessing: of the run.
        notes: what a person should know, a line each.
        splits: as it was split, with the images that are left out as damaged.
        contents_sha256: over the training images; None for a run that began before contents were part of that.
    """

    train: Dataset
    test: Dataset
    train_scan: DatasetScan
    test_scan: DatasetScan
    scanned: dict[SplitName, tuple[Dataset, DatasetScan]]
    preprocessing: Preprocessing
    notes: tuple[str, ...]
    splits: DatasetSplits
    contents_sha256: str | None = None

    def sha256(self, kind: Fingerprint = "contents") -> str:
        """Over the training images, without the folder they lie in."""
        if kind == "names":
            return names_sha256(self.train)
        assert self.contents_sha256 is not None
        return self.contents_sha256

    @cached_property
    def decoded_test(self) -> DatasetScan:
        """The test images' pixels, if they fit into memory, and what is damaged; decoded when first asked for."""
        if self.test_scan.damaged:
            return self.test_scan
        return resident_pixels(self.test, self.preprocessing)

    def test_pixels(self) -> Pixels | None:
        """(N, channels, crop, crop), where all images can be decoded and fit into memory."""
        return None if self.decoded_test.damaged else self.decoded_test.pixels


def resolve(
    recipe: Recipe, split_rule: SplitRule = "hash", ranks: Ranks | None = None, *, decode: bool = False
) -> tuple[Recipe, PreparedData]:
    """The recipe with its open ends set by the data (classes, channels, colour, statistics), and the data.

    Args:
        split_rule: how images are held out of data without `val` and `test`; see `Plan`.
        ranks: all of which call this; rank 0 scans the data.
        decode: find damaged images by decoding them all.

    Raises:
        DataError: the data is missing, or damaged and the recipe does not say to leave that out.
    """
    ranks = ranks or Ranks()
    splits, preprocessing = _dataset_of(recipe, split_rule, ranks)
    tables = FileTables()
    train_scan, test_scan = scan_once(
        splits,
        preprocessing,
        keep=recipe.augmentations.crop is None,
        statistics=recipe.normalize != "given",
        decode=decode,
        tables=tables,
        ranks=ranks,
    )
    preprocessing = normalized(preprocessing, recipe.normalize, train_scan) if train_scan.std else preprocessing
    data = _fit_for_training(recipe, splits, preprocessing, train_scan, test_scan)
    sha256 = agreement.from_rank_0(ranks, lambda: contents_sha256(data.train, tables))
    model = replace(recipe.model, classes=len(data.train.classes), channels=preprocessing.channels)
    resolved = replace(recipe, model=model, preprocessing=preprocessing, normalize="given")
    return resolved, replace(data, contents_sha256=sha256)


def reopen(plan: Plan, folder: RunFolder, ranks: Ranks | None = None) -> PreparedData:
    """The data of the run in `folder`, as it was when the run began: what was damaged then is left out, unscanned.

    Raises:
        DataError: it is gone, or not what it was.
    """
    ranks, recipe, log = ranks or Ranks(), replace(plan.recipe, data=plan.data), DamageLog(folder.path)
    if plan.data_fingerprint == "names" and recipe.damaged == "exclude":  # such runs did not write what they left out
        _, data = resolve(recipe, plan.split_rule, ranks, decode=True)
    else:
        splits, preprocessing = _dataset_of(recipe, plan.split_rule, ranks)
        train_scan, test_scan = (DatasetScan(log.scanned(split)) for split in ("train", splits.watched))
        for dataset, found in (splits.train, train_scan), (splits.test, test_scan):
            if max(found.damaged, default=-1) >= len(dataset):
                raise _other_data(plan, folder)
        data = _fit_for_training(replace(recipe, damaged="exclude"), splits, preprocessing, train_scan, test_scan)
        if plan.data_fingerprint == "contents":
            mended = log.before_mending()
            now = agreement.from_rank_0(ranks, lambda: _sha256_now(data.train, plan.data_sha256, mended))
            data = replace(data, contents_sha256=now)
    if data.sha256(plan.data_fingerprint) != plan.data_sha256:
        raise _other_data(plan, folder)
    if recipe.augmentations.crop is None and data.train_scan.pixels is None:
        pixels = agreement.together(ranks, lambda: _resident(recipe, data.train, data.preprocessing))
        data = replace(data, train_scan=pixels)
    return data


def _sha256_now(dataset: Dataset, expected: str, mended: dict[int, tuple[int, bytes]]) -> str:
    """The fingerprint; where it is not what is expected, that of the images as they were before they were mended."""
    tables = FileTables()
    digest = contents_sha256(dataset, tables)
    tables.save()
    if digest != expected and mended and max(mended) < len(dataset):
        return contents_sha256(dataset, tables, before=mended)
    return digest


def _resident(recipe: Recipe, dataset: Dataset, preprocessing: Preprocessing) -> DatasetScan:
    """The training images' pixels, if they fit; where one was damaged since, training finds it as it decodes."""
    found = resident_pixels(dataset, preprocessing)
    if found.damaged and recipe.damaged == "refuse":
        raise DataError(next(iter(found.damaged.values())))
    return DatasetScan({}) if found.damaged else found


def _dataset_of(recipe: Recipe, split_rule: SplitRule, ranks: Ranks) -> tuple[DatasetSplits, Preprocessing]:
    """The dataset of a recipe, which all ranks have alike, and its preprocessing with the colour of the data."""

    def opened() -> DatasetSplits:
        return with_watched_split(open_dataset(recipe.data), recipe.data, holdout=recipe.holdout, rule=split_rule)

    splits = agreement.together(ranks, opened)
    require_same_files(splits, ranks)
    preprocessing = recipe.preprocessing
    if splits.color == "L" and preprocessing.color != "L":
        preprocessing = replace(preprocessing, color="L", mean=(0.5,), std=(0.5,), mean_image=None)
    return splits, preprocessing


def _fit_for_training(
    recipe: Recipe,
    splits: DatasetSplits,
    preprocessing: Preprocessing,
    train_scan: DatasetScan,
    test_scan: DatasetScan,
) -> PreparedData:
    """The dataset without what is damaged. Raises `DataError` if too little is left, or the recipe refuses that."""
    test, watched = splits.test, splits.watched
    scanned: dict[SplitName, tuple[Dataset, DatasetScan]] = {
        "train": (splits.train, train_scan),
        watched: (test, test_scan),
    }
    train, notes = _without_damaged(recipe, splits, train_scan)
    if test_scan.damaged:
        first = next(iter(test_scan.damaged.values()))
        if len(test_scan.damaged) == len(test):
            raise DataError(f"No {watched} image can be read: {first}")
        count = show_count(len(test_scan.damaged), f"{watched} image")
        notes += (f"{count} cannot be read and left out of all figures: {first}",)
    for split, (dataset, found) in scanned.items():
        notes += notes_on(found.remarks, len(dataset), split, preprocessing.background)
    if train is not splits.train:
        assert isinstance(train, Subset)
        pixels = train_scan.pixels
        train_scan = replace(train_scan, damaged={}, pixels=None if pixels is None else pixels[train.indices])
    return PreparedData(train, test, train_scan, test_scan, scanned, preprocessing, notes, splits)


def _without_damaged(recipe: Recipe, splits: DatasetSplits, found: DatasetScan) -> tuple[Dataset, tuple[str, ...]]:
    damaged = found.damaged
    if not damaged:
        return splits.train, splits.notes
    listed = "\n  ".join(list(damaged.values())[:5])
    if recipe.damaged == "refuse":
        raise DataError(
            f"{len(damaged):,} of {show_count(len(splits.train), 'training image')} cannot be read:\n  {listed}\n"
            "Mend or remove them, or train without them: damaged=exclude."
        )
    if len(damaged) == len(splits.train):
        raise DataError(f"No training image can be read:\n  {listed}")
    kept = Subset(splits.train, np.delete(np.arange(len(splits.train)), list(damaged)))
    if len(np.unique(kept.labels)) < len(kept.classes):
        raise DataError(f"Without its damaged images the training data lacks a class:\n  {listed}")
    count = show_count(len(damaged), "training image")
    return kept, (*splits.notes, f"{count} cannot be read and left out:\n  {listed}")


def train(
    recipe: Recipe,
    folder: RunFolder,
    *,
    device: str = "auto",
    workers: int | None = None,
    checkpoints: CheckpointPolicy | None = None,
    rank_timeout: float = LIMIT,
    tensorboard: bool = False,
    subscribers: Sequence[Subscriber] = (),
) -> Scores:
    """Runs `recipe` in `folder`, which is made once the data was found fit; returns the scores of the final weights.

    Args:
        tensorboard: recorded for `resume`; one of `subscribers` writes the events.

    Raises:
        UsageError: ranks that differ, among much else.
    """
    recipe.initialization.check(recipe.model)
    _reserve(recipe, device)
    with process_group(device, rank_timeout) as (ranks, own_device):
        given = recipe

        def begin() -> Recipe:
            # From here on a part of the recipe: resumed on more or fewer ranks, batch norm still sees the same samples.
            bn_batch = bn_batch_size(given, ranks.world)
            found = environments.choose(own_device, given.precision)  # refuses a wrong device before the data is read
            if given.cuda_graph and (ranks.world > 1 or not found.device.startswith("cuda")):
                raise UsageError(f"cuda_graph=true is for one CUDA device, not {ranks.world} of {found.device}.")
            return replace(given, bn_batch=bn_batch)

        recipe, data = resolve(agreement.together(ranks, begin), ranks=ranks)

        def checked() -> Environment:
            recipe.check_length(len(data.train))
            if checkpoints is not None:
                checkpoints.check_classes(len(data.train.classes))
            work = multiply_adds(recipe.model, recipe.largest_size) * (recipe.bn_batch or recipe.batch)
            return environments.choose(own_device, recipe.precision, work)

        environment = agreement.together(ranks, checked)
        agreement.require_equal(ranks, agreement.facts_of(recipe, environment))
        threads = environment.threads
        environment = replace(environment, threads=agreement.from_rank_0(ranks, lambda: threads))
        notes: list[str] = []
        if recipe.batch > len(data.train):
            notes.append(
                f"A step takes {recipe.batch:,} images and there are {len(data.train):,}: steps are few, and see "
                f"some twice. Take a smaller batch, such as batch={max(2, min(64, len(data.train) // 8))}."
            )
        if environment.jpeg_decoder == "Pillow" and recipe.augmentations.crop is not None:
            notes.append("This torchvision has no operator for JPEG files: Pillow decodes them, to the same pixels.")
        if recipe.memory_limit is not None:
            recipe, more = memory.within_limit(recipe, environment, ranks)
            notes += more
        if workers is None:
            workers = 0 if data.train_scan.pixels is not None else default_workers()
        plan = Plan(
            recipe=recipe,
            environment=environment,
            checkpoints=checkpoints or CheckpointPolicy(),
            workers=workers,
            data_sha256=data.sha256(),
            data_fingerprint="contents",
            split_rule="hash",
            data_path=_located(recipe.data),
            tensorboard=tensorboard,
        )
        agreement.require_equal(ranks, {"recipe.bn_batch": recipe.bn_batch})
        with _held(folder, ranks), _as_planned(plan):

            def claim() -> None:
                if folder.recipe.exists():
                    raise UsageError(f"Another process has just begun a run in {folder.path}: give another --out.")
                run_split.write(folder.split, data.splits)
                DamageLog(folder.path).write_scan(data.scanned)
                write_plan(folder.recipe, plan)

            agreement.from_rank_0(ranks, claim)
            return _go(plan, data, folder, ranks, subscribers, notes)


def _located(data: str) -> str | None:
    """Where `data` lies, for a resume that starts in another folder; None where it is a name."""
    return os.path.abspath(data) if data not in NAMES and os.path.exists(data) else None


def resume(
    folder: RunFolder,
    *,
    data: str | None = None,
    epochs: float | None = None,
    memory_limit: str | None = None,
    rank_timeout: float = LIMIT,
    subscribers: Sequence[Subscriber] = (),
) -> Scores | None:
    """Goes on with the run in `folder` where its last whole checkpoint was written; None if it had ended.

    Args:
        data: where the run's data lies now; recorded for later resumes.
        epochs: how much longer a finished run trains; see `training.extension`.
        memory_limit: in place of the recipe's and of its `capture`, for the same groups and the same result.

    Raises:
        FileError: no run is there, or its log, its model or all its checkpoints are damaged or cannot be read.
        DataError: the data is gone or is not what it was.
        UsageError: `epochs` for a run that has not finished; ranks that differ.
    """
    recorded = read_plan(folder.recipe)
    _reserve(recorded.recipe, recorded.environment.device)
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
        with _held(folder, ranks):
            # Before the data is read, which can take long.
            found = None if epochs is not None else _last_saved(recorded, folder, ranks)
            if data is not None:
                place = data
                recorded = replace(recorded, data_path=agreement.together(ranks, lambda: _found_at(place)))
            plan, notes = _here(recorded, device)
            if memory_limit is not None:
                plan = replace(plan, recipe=replace(plan.recipe, memory_limit=memory_limit, cuda_graph=False))
            opened = reopen(recorded, folder, ranks)
            agreement.require_equal(ranks, agreement.facts_of(plan.recipe, plan.environment))
            if epochs is not None:
                more, samples = epochs, len(opened.train)
                recorded = agreement.from_rank_0(ranks, lambda: extend(folder, recorded, more, samples))
                plan = replace(plan, extensions=recorded.extensions)
                found = _last_saved(recorded, folder, ranks)
            elif data is not None:
                agreement.from_rank_0(ranks, lambda: write_plan(folder.recipe, recorded))
            if ranks.is_main and not folder.split.exists():  # of a run that version 0.1.0 began
                run_split.write(folder.split, opened.splits)
            with _as_planned(plan):
                return _go(plan, opened, folder, ranks, subscribers, notes, found)


def _found_at(data: str) -> str:
    """Where `data` lies, or its name. Raises `DataError` where there is none."""
    if data not in NAMES and not os.path.isdir(data):
        raise DataError(
            f"There is no dataset or folder {data!r}: give --data the folder where the run's data lies now."
        )
    return _located(data) or data


def _other_data(plan: Plan, folder: RunFolder) -> DataError:
    return DataError(
        f"{plan.data} does not hold the training images that {folder.path} began with. Put them back, say "
        f"where they are now with --data, or train anew: resnets train {folder.recipe} --out FOLDER."
    )


def _last_saved(plan: Plan, folder: RunFolder, ranks: Ranks) -> Saved | None:
    """The checkpoint to go on from, and that the log fits it."""

    def read() -> Saved | None:
        found = checkpoint.newest(folder.checkpoints, plan.sha256)
        if found is not None and ranks.is_main and os.path.lexists(folder.log):
            read_log(folder.log, found.state.log_bytes)
        return found

    found = agreement.together(ranks, read)
    if len(set(ranks.gather(found.state.step if found else 0))) > 1:
        raise FileError(f"The ranks see different checkpoints in {folder.checkpoints}: it must be a folder they share.")
    return found


def replay(folder: RunFolder, step: int) -> Diagnosis:
    """What `step` (from 1) of the run in `folder` does, made again from the last checkpoint before it.

    Raises:
        UsageError: the run has no such step.
    """
    recorded = read_plan(folder.recipe)
    _reserve(recorded.recipe, recorded.environment.device)
    plan, _ = _here(recorded, None)
    data = reopen(recorded, folder)
    phases = phases_of(plan, len(data.train))
    total = phases[-1].end(len(data.train))
    if not 1 <= step <= total:
        raise UsageError(f"The run has steps 1 to {total}, not {step}.")
    phase = next(phase for phase in phases if step <= phase.end(len(data.train)))
    with _as_planned(plan):
        training, batches = _build(plan, data, Ranks(), phase)
        found = checkpoint.newest(folder.checkpoints, plan.sha256, before=step)
        if phase.extends and (found is None or found.state.step < phase.first_step):
            raise FileError(f"No checkpoint in {folder.checkpoints} is of the extension that step {step} belongs to.")
        if found is not None:
            _restore(training, found, folder)
        training.prepare(batches)
        for batch in batches.between(training.steps_done, step - 1):
            training.step(batch)
        return replace(diagnose(training, batches, step - 1), notes=data.notes)


def _reserve(recipe: Recipe, device: str) -> None:
    """Before anything uses CUDA, what a deterministic run needs there."""
    if recipe.deterministic and device != "cpu":
        reserve_cublas()


def is_finished(folder: RunFolder) -> bool:
    """Whether the run's log has its end, and that of each extension."""
    events = read_log(folder.log) if os.path.lexists(folder.log) else []
    last = [event for event in events if event["event"] != "warning"][-1:]  # observers may fail at the end
    extensions = len(read_plan(folder.recipe).extensions)
    return any(e["event"] == "end" and e.get("extensions", 0) == extensions for e in last)


def _here(plan: Plan, device: str | None) -> tuple[Plan, list[str]]:
    """The plan on this machine, and what differs from where it began."""
    then = plan.environment
    now = environments.choose(device or then.device, then.precision)
    now = replace(now, threads=then.threads)
    changed = then.changes(now)
    notes = [f"This is not where the run began ({'; '.join(changed)}): the last bits may differ."] if changed else []
    return replace(plan, environment=now), notes


@contextlib.contextmanager
def _held(folder: RunFolder, ranks: Ranks) -> Iterator[None]:
    """The run's folder for these ranks alone."""
    with contextlib.ExitStack() as held:
        agreement.from_rank_0(ranks, lambda: held.enter_context(locked(folder.checkpoints)))
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


def _build(plan: Plan, data: PreparedData, ranks: Ranks, phase: Phase | None = None) -> tuple[Training, Batches]:
    """The training of one phase of the run, by default the first."""
    recipe = phase.recipe if phase else plan.recipe
    task = Classification(label_smoothing=recipe.label_smoothing)
    network = task.build(recipe.model)
    assert isinstance(network, ResNet)
    initialize(network, seed=recipe.seed, how=recipe.initialization)
    first = phase.first_step if phase else 0
    training = Training(recipe, plan.environment, task, network, len(data.train), ranks, first_step=first)
    if recipe.memory_limit is not None:
        memory.keep_within_limit(training)
    batches = batches_for(  # of the whole run, whose steps are counted on
        plan.recipe, data, device=training.device, bn_batch=training.bn_batch, rows=training.rows, workers=plan.workers
    )
    return training, batches


def batches_for(
    recipe: Recipe,
    data: PreparedData,
    *,
    device: torch.device,
    bn_batch: int | None = None,
    rows: slice | None = None,
    workers: int = 0,
) -> Batches:
    """The training batches of a resolved recipe; see `Batches`."""
    return Batches(
        data.train,
        order=Order(len(data.train), recipe.batch, recipe.seed),
        augmentations=recipe.augmentations,
        preprocessing=recipe.preprocessing,
        seed=recipe.seed,
        bn_batch=bn_batch or recipe.bn_batch or recipe.batch,
        device=device,
        rows=rows,
        workers=workers,
        pixels=data.train_scan.pixels,
        size_at=lambda step: recipe.size_at(step, len(data.train)),
        replace_damaged=recipe.damaged == "exclude",
    )


def _restore(training: Training, found: Saved, folder: RunFolder) -> None:
    """Puts a checkpoint into `training`.

    Raises:
        FileError: it is of another network, or of another length.
    """
    memory = found.state
    try:
        if not training.first_step <= memory.step <= training.total_steps:
            raise ValueError(f"it is of step {memory.step}")
        training.restore(found.tensors, memory.step, memory.plateau)
        training.skipped.fill_(memory.skipped)
        if found.tensors["losses"].ndim != 1:
            raise ValueError("its losses are no list")
    except (RuntimeError, KeyError, ValueError) as error:
        raise FileError(
            f"The checkpoint of step {memory.step} in {folder.checkpoints} does not fit the run "
            f"({str(error).splitlines()[0]}). Nothing was changed: put a copy back, or train anew: "
            f"resnets train {folder.recipe} --out FOLDER."
        ) from error


def _go(
    plan: Plan,
    data: PreparedData,
    folder: RunFolder,
    ranks: Ranks,
    subscribers: Sequence[Subscriber],
    notes: list[str],
    found: Saved | None = None,
) -> Scores:
    """Trains from `found`, or from the start, to the end."""
    samples = len(data.train)
    phase = phases_of(plan, samples)[-1]
    if phase.extends and (found is None or found.state.step < phase.first_step):
        raise FileError(f"The checkpoints of the extension are gone from {folder.checkpoints}: put a copy back.")
    training, batches = agreement.together(ranks, lambda: _build(plan, data, ranks, phase))
    if found:
        saved = found
        agreement.together(ranks, lambda: _restore(training, saved, folder))
    damage = DamageLog(folder.path)
    agreement.from_rank_0(ranks, lambda: damage.cut(found.state.step if found else 0))
    length = found.state.log_bytes if found and os.path.lexists(folder.log) else 0
    history = read_log(folder.log, length) if ranks.is_main and length else []
    log = Log(folder.log, length) if ranks.is_main else None
    observers = Subscribers(
        subscribers if ranks.is_main else (), lambda line: record({"event": "warning", "message": line})
    )

    def record(event: Event) -> None:
        if log:
            log(event)
            history.append(event)

    def emit(event: Event) -> None:
        record(event)
        observers(event)

    def on_damaged(step: int, sample: int, reason: str) -> None:
        found = Damage(path=data.train.name(sample), reason=reason, step=min(step + 1, training.total_steps))
        if plan.recipe.damaged == "refuse":
            found = with_record(found, data.train, sample)
        if damage.append(found):
            emit_damage(found)

    def emit_damage(found: Damage) -> None:
        # A checkpoint may have been written when the step was due, but not done.
        events = [e for e in history if e.get("event") == "damaged"]
        if not any((e.get("step"), e.get("path")) == (found.step, found.path) for e in events):
            emit({"event": "damaged", "step": found.step, "path": found.path, "reason": found.reason})

    batches.on_damaged = on_damaged

    def save_model(scores: Scores, best: bool = False) -> None:
        card = ModelCard(
            spec=plan.recipe.model,
            classes=tuple(data.train.classes),
            preprocessing=plan.recipe.preprocessing,
            recipe=encode(plan.recipe),
            environment=encode(plan.environment),
            metrics={name: value for name, value in scores.summary().items() if name != "damaged"},
        )
        path = folder.best if best else folder.model
        model_file.save(path, training.evaluated_network.state_dict(), card)
        if not best:
            title = f"{scores.split} of {plan.recipe.name}"
            write_report(folder.report, title=title, scores=scores, dataset=data.test, card=card, history=history)

    losses = pending_losses(found.tensors, training) if found else []
    lines = [*notes, *(found.notes if found else ())]
    if found and history:
        # A resumed run prints the same lines; only its log has none of this.
        resumed = f"Going on after step {found.state.step} of {training.total_steps}."
        start = next((event for event in history if event["event"] == "start"), _start(plan, data, training, []))
        observers(
            {
                **start,
                "steps": training.total_steps,
                "notes": [*start.get("notes", []), resumed, *lines],
                "resumed_after": found.state.step,
            }
        )
    else:
        if found:
            lines.insert(0, f"The log was gone: a new one begins after step {found.state.step}.")
        begun = _start(plan, data, training, lines)
        record(begun)
        observers({**begun, "resumed_after": found.state.step if found else 0})
    if found and phase.extends and found.state.step == phase.first_step:
        emit(extended_event(phase, samples))
    with stop_signals() as asked:
        watch = CheckpointCallback(
            training,
            plan.checkpoints,
            folder.checkpoints,
            recipe_sha256=plan.sha256,
            asked=asked,
            log_bytes=log.length if log else lambda: 0,
            save_best=lambda scores: save_model(scores, best=True),
            found=found,
            unlogged=losses,
        )
        evaluation = Interruptible(ranks, asked)

        def scores_of(dataset: Dataset, pixels: Pixels | None, split: SplitName) -> Scores:
            predictor = NetworkPredictor(
                training.evaluated_network,
                plan.recipe.preprocessing,
                tta=plan.recipe.tta,
                device=training.device,
                pixels=pixels,
            )
            return evaluation.score(predictor, training.task, dataset, split=split, workers=plan.workers)

        def list_damaged(scores: Scores) -> None:
            listed = damage.by_path() if scores.damaged else {}
            for path, reason in scores.damaged.items():
                if path not in listed:
                    damage.append(Damage(path=path, reason=reason, step=training.steps_done))
            for each in damage.read():  # what other ranks found, too
                if each.step is not None:
                    emit_damage(each)

        def evaluate() -> Scores:
            try:
                scores = scores_of(data.test, data.test_pixels(), data.splits.watched)
                if ranks.is_main:
                    list_damaged(scores)
                if not plan.recipe.score_training:
                    return scores
                own = scores_of(data.train, data.train_scan.pixels, "train")
            except EvaluationStopped:
                watch.stop_evaluation()
            return replace(
                scores, metrics=scores.metrics | {f"train_{k}": own.metrics[k] for k in ("accuracy", "loss")}
            )

        try:
            training.prepare(batches)
            scores = run(training, batches, evaluate, emit, watch, losses, watch.evaluation_pending)
            if ranks.is_main:
                save_model(scores)
            watch.close()
            end = {"event": "end", "seconds": watch.seconds, **watch.cost(), "skipped": int(training.skipped)}
            emit({**end, "extensions": len(plan.extensions)} if plan.extensions else end)
            ranks.barrier()  # none leaves before the model is there, however long the disk takes
            ranks.gather(None)
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
    return replace(scores, damaged=damage.by_path() | scores.damaged)


def _start(plan: Plan, data: PreparedData, training: Training, notes: list[str]) -> Event:
    return {
        "event": "start",
        "recipe": plan.recipe.name,
        "steps": training.total_steps,
        "epochs": training.total_steps * plan.recipe.batch / len(data.train),
        "train_samples": len(data.train),
        "test_samples": len(data.test),
        "split": data.splits.watched,
        "parameters": sum(p.numel() for p in training.network.parameters()),
        "environment": encode(plan.environment),
        "world": training.ranks.world,
        "notes": [*data.notes, *notes],
    }


def _add_way_on(error: ResnetsError, training: Training, watch: CheckpointCallback, folder: RunFolder) -> None:
    """Adds to `error` what is saved and how to go on; what can still be saved is."""
    if isinstance(error, DataError) and training.ranks.world == 1 and watch.seen == training.steps_done:
        with contextlib.suppress(ResnetsError):
            watch.save()
    with contextlib.suppress(ResnetsError):
        watch.close()
    saved: list[int] = []
    with contextlib.suppress(ResnetsError):
        saved = checkpoint.steps(folder.checkpoints)
    way = f"Step {saved[0]} is saved: go on with: resnets resume {folder.path}" if saved else "No step is saved yet."
    error.args = (f"{error} {way}", *error.args[1:])
