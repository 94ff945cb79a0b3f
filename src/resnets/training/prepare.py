"""Data for a run: opened, scanned and found fit for training.

A run that begins calls `resolve`, which scans the data and fills in what the recipe leaves to it. A run that resumes
calls `reopen`, which checks that the data is what it was and leaves out the same damaged samples, without a scan.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError
from resnets.core.units import show_count
from resnets.data.file_table import FileTables
from resnets.data.fingerprint import Fingerprint, contents_sha256, names_sha256
from resnets.data.leaks import leak_notes, leaks
from resnets.data.scan import DatasetScan, resident_samples
from resnets.data.splits import SplitRule, with_watched_split
from resnets.modalities.base import NOUNS, Dataset, DatasetSplits, SplitName, Subset
from resnets.modalities.catalog import is_name, open_dataset
from resnets.modalities.inputs import AnyInput, open_reader
from resnets.modalities.reader import Reader
from resnets.tasks.catalog import AnyTask, for_data
from resnets.training import agreement
from resnets.training.damage import DamageLog
from resnets.training.distributed import Ranks
from resnets.training.plan import Plan
from resnets.training.recipe import Recipe
from resnets.training.recipe_checks import check_initial
from resnets.training.run_folder import RunFolder
from resnets.training.shared_scan import require_same_files, scan_once


@dataclass(frozen=True)
class PreparedData:
    """The splits of a run, scanned and found fit for training.

    Args:
        train: the samples to learn from, without those that are left out as damaged.
        test: the split that training evaluates on, `splits.watched`.
        train_scan: of the samples of `train`.
        test_scan: of the samples of `test`.
        scanned: each scanned split as it was before damaged samples were left out, and what was found in it.
        reader: of the run, without augmentations.
        notes: for the person who trains, a line each.
        splits: all splits, with the samples that are left out as damaged.
        contents_sha256: over the training samples; None for a run that began before their contents were hashed.
        leaked: how many samples of `val` and `test` have the file of a training sample, as far as is known.
    """

    train: Dataset
    test: Dataset
    train_scan: DatasetScan
    test_scan: DatasetScan
    scanned: dict[SplitName, tuple[Dataset, DatasetScan]]
    reader: Reader
    notes: tuple[str, ...]
    splits: DatasetSplits
    contents_sha256: str | None = None
    leaked: dict[SplitName, int] = field(default_factory=dict)

    def sha256(self, kind: Fingerprint = "contents") -> str:
        """SHA-256 over the training samples, without the folder they lie in."""
        if kind == "names":
            return names_sha256(self.train)
        assert self.contents_sha256 is not None
        return self.contents_sha256

    @cached_property
    def read_test(self) -> DatasetScan:
        """The prepared test samples, if they fit into memory, and what is damaged; read on first use."""
        if self.test_scan.damaged or not self.reader.resident:
            return self.test_scan
        return resident_samples(self.test, self.reader)

    def prepared_test(self) -> NDArray[Any] | None:
        """(N, ...) the test samples as they are prepared; None if one is damaged or they do not fit into memory."""
        return None if self.read_test.damaged else self.read_test.prepared


def resolve(
    recipe: Recipe, split_rule: SplitRule = "groups", ranks: Ranks | None = None, *, decode: bool = False
) -> tuple[Recipe, PreparedData]:
    """Returns the data, and the recipe with what the data decides: classes, channels, colour and statistics.

    Args:
        split_rule: how samples are held out; see `Plan`.
        ranks: all of which call this; rank 0 scans the data.
        decode: whether damaged samples are found by reading all of them.

    Raises:
        DataError: the data is missing, or damaged and the recipe does not say to leave that out.
        UsageError: there are no weights to begin with, and layers are frozen under frozen norms, or averaged with them.
    """
    ranks = ranks or Ranks()
    check_initial(recipe.weights, recipe.fine_tuning, recipe.model)
    splits, preprocessing, task = _open(recipe, split_rule, ranks)
    tables, reader = FileTables(), open_reader(preprocessing)
    train_scan, test_scan = scan_once(
        splits,
        reader,
        keep=recipe.augmentations.holds and reader.resident,
        statistics=recipe.normalize != "given",
        read_all=decode,
        tables=tables,
        ranks=ranks,
    )
    if train_scan.mean is not None and train_scan.std is not None:
        preprocessing = preprocessing.with_statistics(recipe.normalize, train_scan.mean, train_scan.std)
    data = _fit_for_training(recipe, splits, preprocessing, train_scan, test_scan)
    sha256, shared = agreement.from_rank_0(
        ranks, lambda: (contents_sha256(data.train, tables), leaks(data.train, splits, tables))
    )
    data = replace(
        data,
        notes=(*data.notes, *leak_notes(shared, splits)),
        leaked={split: len(numbers) for split, numbers in shared.items()},
    )
    task = task.for_data(data.train)
    model = replace(task.model_for(recipe.model, len(data.train.classes)), channels=preprocessing.channels)
    resolved = replace(recipe, model=model, preprocessing=preprocessing, task=task, normalize="given")
    return resolved, replace(data, contents_sha256=sha256)


def reopen(plan: Plan, folder: RunFolder, ranks: Ranks | None = None) -> PreparedData:
    """Returns the data of the run in `folder` as it was when the run began, without a scan.

    Images that were damaged then are left out again.

    Raises:
        DataError: the data is missing, or not what it was.
    """
    ranks, recipe, log = ranks or Ranks(), replace(plan.recipe, data=plan.data), DamageLog(folder.path)
    if plan.data_fingerprint == "names" and recipe.damaged == "exclude":  # such runs did not record what they left out
        _, data = resolve(recipe, plan.split_rule, ranks, decode=True)
    else:
        splits, preprocessing, _ = _open(recipe, plan.split_rule, ranks)
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
    if recipe.augmentations.holds and data.reader.resident and data.train_scan.prepared is None:
        prepared = agreement.together(ranks, lambda: _resident(recipe, data.train, data.reader))
        data = replace(data, train_scan=prepared)
    return data


def absolute_path(data: str) -> str | None:
    """The absolute path of `data`, so that a resume may start in another folder; None where it is a name."""
    return os.path.abspath(data) if not is_name(data) and os.path.exists(data) else None


def moved_to(data: str) -> str:
    """The absolute path of `data`, or its name.

    Raises:
        DataError: there is no such dataset, folder or table.
    """
    if not is_name(data) and not os.path.exists(data):
        raise DataError(
            f"There is no dataset or folder {data!r}: give --data the folder where the run's data lies now."
        )
    return absolute_path(data) or data


def _open(recipe: Recipe, split_rule: SplitRule, ranks: Ranks) -> tuple[DatasetSplits, AnyInput, AnyTask]:
    """The splits of a recipe's data, the same on all ranks, and its preprocessing and task as the data decides.

    Raises:
        DataError: the data is of another modality, or for a task that the recipe's input is not for.
    """

    def opened() -> tuple[DatasetSplits, AnyTask]:
        splits = open_dataset(recipe.data, recipe.format)
        task = for_data(splits.train.task, recipe.task)
        splits = task.adapt(splits)
        if task.name != recipe.task.name:
            note = f"The data is for {task.name}, which is trained in place of {recipe.task.name}."
            splits = replace(splits, notes=(*splits.notes, note))
        return with_watched_split(splits, recipe.data, recipe.split, rule=split_rule), task

    splits, task = agreement.together(ranks, opened)
    require_same_files(splits, ranks)
    preprocessing = recipe.preprocessing
    if recipe.weights is None:  # else images are read as they were for the weights
        preprocessing = preprocessing.for_data(splits)
    if splits.train.modality != preprocessing.modality:
        found, wanted = NOUNS[splits.train.modality], preprocessing.noun
        raise DataError(
            f"{recipe.data} holds {found}s, and the recipe {recipe.name} is for {wanted}s: choose a recipe "
            f"for {found}s (resnets recipes)."
        )
    if task.fixed != preprocessing.fixed:
        raise DataError(
            f"{recipe.data} is data for {task.name}, and the recipe {recipe.name} is for {recipe.task.name}: choose a "
            "recipe for it (resnets recipes)."
        )
    return splits, preprocessing, task


def _fit_for_training(
    recipe: Recipe,
    splits: DatasetSplits,
    preprocessing: AnyInput,
    train_scan: DatasetScan,
    test_scan: DatasetScan,
) -> PreparedData:
    """The data without its damaged samples. Raises DataError if too little is left, or the recipe refuses damage."""
    test, watched, reader = splits.test, splits.watched, open_reader(preprocessing)
    scanned: dict[SplitName, tuple[Dataset, DatasetScan]] = {
        "train": (splits.train, train_scan),
        watched: (test, test_scan),
    }
    train, notes = _without_damaged(recipe, splits, train_scan)
    if test_scan.damaged:
        first = next(iter(test_scan.damaged.values()))
        if len(test_scan.damaged) == len(test):
            raise DataError(f"No {watched} {preprocessing.noun} can be read: {first}")
        count = show_count(len(test_scan.damaged), f"{watched} {preprocessing.noun}")
        notes += (f"{count} cannot be read and left out of all metrics: {first}",)
    for split, (dataset, found) in scanned.items():
        remarks = {name: found.remarks.get(bit, 0) for bit, name in enumerate(preprocessing.remarks)}
        notes += reader.notes(remarks, len(dataset), split)
    if train is not splits.train:
        assert isinstance(train, Subset)
        prepared = train_scan.prepared
        train_scan = replace(train_scan, damaged={}, prepared=None if prepared is None else prepared[train.indices])
    return PreparedData(train, test, train_scan, test_scan, scanned, reader, notes, splits)


def _without_damaged(recipe: Recipe, splits: DatasetSplits, found: DatasetScan) -> tuple[Dataset, tuple[str, ...]]:
    """The training samples that can be read, and the notes of the splits with one on the others."""
    damaged, noun = found.damaged, recipe.preprocessing.noun
    if not damaged:
        return splits.train, splits.notes
    listed = "\n  ".join(list(damaged.values())[:5])
    if recipe.damaged == "refuse":
        raise DataError(
            f"{len(damaged):,} of {show_count(len(splits.train), f'training {noun}')} cannot be read:\n  {listed}\n"
            "Mend or remove them, or train without them: damaged=exclude."
        )
    if len(damaged) == len(splits.train):
        raise DataError(f"No training {noun} can be read:\n  {listed}")
    kept = Subset(splits.train, np.delete(np.arange(len(splits.train)), list(damaged)))
    if len(np.unique(kept.strata)) < len(np.unique(splits.train.strata)):
        raise DataError(f"Without its damaged {noun}s the training data lacks a class:\n  {listed}")
    count = show_count(len(damaged), f"training {noun}")
    return kept, (*splits.notes, f"{count} cannot be read and left out:\n  {listed}")


def _sha256_now(dataset: Dataset, expected: str, mended: dict[int, tuple[int, bytes]]) -> str:
    """The fingerprint of `dataset`; if it is not `expected`, that of the samples as they were before they were mended.

    Args:
        mended: size and hash that a sample had when the run stopped for it, by number.
    """
    tables = FileTables()
    digest = contents_sha256(dataset, tables)
    tables.save()
    if digest != expected and mended and max(mended) < len(dataset):
        return contents_sha256(dataset, tables, before=mended)
    return digest


def _resident(recipe: Recipe, dataset: Dataset, reader: Reader) -> DatasetScan:
    """The prepared training samples, if they fit; none if one was damaged since, which reading will find."""
    found = resident_samples(dataset, reader)
    if found.damaged and recipe.damaged == "refuse":
        raise DataError(next(iter(found.damaged.values())))
    return DatasetScan({}) if found.damaged else found


def _other_data(plan: Plan, folder: RunFolder) -> DataError:
    return DataError(
        f"{plan.data} does not hold the training samples that {folder.path} began with. Put them back, say "
        f"where they are now with --data, or train anew: resnets train {folder.recipe} --out FOLDER."
    )
