"""The record of a run's split: which images it trained on, and which it held out.

`split.jsonl.gz` has a line for each image, `["train", "cat/1.jpg"]` or `["val", "cat/2.jpg"]`, with its path relative
to the root of the data; of a run on one fold of all images also `["test", "cat/3.jpg"]`. A run writes one only if it
held out images itself; other data has splits of its own.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from resnets.core.errors import DataError, FileError, UsageError
from resnets.core.files import explain, replacing
from resnets.data.splits import with_watched_split
from resnets.modalities.base import Dataset, DatasetSplits, SplitName, Subset
from resnets.modalities.in_memory import is_in_memory
from resnets.modalities.pooled import pooled
from resnets.training.events import Event
from resnets.training.plan import read_plan
from resnets.training.run_folder import RunFolder
from resnets.training.run_log import read_log

_HELD_OUT: tuple[SplitName, ...] = ("train", "val")
_OF_FOLDS: tuple[SplitName, ...] = ("train", "val", "test")
_CODE = "surrogateescape"  # names need not be UTF-8


def write(path: Path, splits: DatasetSplits) -> None:
    """Writes the record of `splits` to `path`, if the run held out images itself.

    Raises:
        FileError: it cannot be written.
    """
    if not splits.held_out:
        return
    with replacing(path) as temporary, gzip.open(temporary, "wb", compresslevel=6) as file:
        for split in _OF_FOLDS if splits.is_pooled else _HELD_OUT:
            dataset = splits.splits.get(split)
            for index in range(len(dataset) if dataset is not None else 0):
                assert dataset is not None
                file.write(json.dumps([split, dataset.key(index).decode(errors=_CODE)]).encode() + b"\n")


def read(path: Path) -> dict[bytes, SplitName]:
    """Returns the split of each image by its name.

    Raises:
        FileError: the record cannot be read.
    """
    found: dict[bytes, SplitName] = {}
    try:
        with gzip.open(path, "rb") as file:
            for line in file:
                split, name = json.loads(line)
                if split not in _OF_FOLDS:
                    raise ValueError(f"no split is called {split!r}")
                found[name.encode(errors=_CODE)] = split
        if not found:
            raise ValueError("it is empty")
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError, TypeError, AttributeError) as error:
        raise FileError(f"{path} is damaged ({error}): take another copy of it, or give --data.") from error
    except OSError as error:
        raise explain("read", path, error) from error
    return found


def of_run(folder: RunFolder, splits: DatasetSplits, name: str) -> DatasetSplits:
    """Returns `splits` with `train` and `val` as the run in `folder` made them; unchanged if it made none.

    Images that are not in the record belong to neither split, and a note names them. Without a record, the data is
    split by the rule that the run began with.

    Args:
        name: of the data, for messages.

    Raises:
        DataError: none of the images that the run held out exists.
        FileError: the record cannot be read.
    """
    if folder.split.exists():
        return _as_recorded(splits, read(folder.split), name)
    if not folder.recipe.exists():
        return splits
    plan = read_plan(folder.recipe)
    found = with_watched_split(splits, name, plan.recipe.split, rule=plan.split_rule)
    if not found.held_out:
        return found
    note = (
        f"{folder.path} has no record of its split: val is what its rule ({plan.split_rule}) gives for the files as "
        "they are now."
    )
    return replace(found, notes=(*found.notes, note))


def for_evaluation(
    splits: DatasetSplits, name: str, models: Sequence[Path | None], *, own: bool, asked: SplitName | None
) -> DatasetSplits:
    """Returns `splits` with those that evaluation needs.

    Data without splits that the user gave is scored whole, as "all". If it is the data of the run itself, or the user
    asked for one of its splits, the run's record says which image belongs where. `leak` says where images are scored
    that a model was trained on.

    Args:
        name: of the data.
        models: the model files; None for a model that was not loaded from a file.
        own: whether the user gave no data, so that it is what the models were trained on.
        asked: the split that the user asked for.

    Raises:
        UsageError: the models held out different images.
    """
    runs = [RunFolder(path.parent) for path in models if path is not None]
    runs = [run for run in runs if run.recipe.exists()]
    missing = (asked or splits.scored) not in splits.splits
    same = cache(lambda: any(_same_place(run, name) for run in runs))
    other = is_in_memory(name) and not same()  # its samples are called as those of any other data in memory
    recorded = [run for run in runs if run.split.exists()]
    in_folds = bool(recorded) and same() and any(read_plan(run.recipe).recipe.fold is not None for run in recorded)
    if own or in_folds or (missing and (same() or (asked in _HELD_OUT and not other))):
        found = [of_run(run, splits, name) for run in runs] or [splits]
        new_to_all = "test" in splits.splits and (asked or found[0].scored) == "test" and not found[0].is_pooled
        if len(found) > 1 and not new_to_all and len({tuple(_keys(each)) for each in found}) > 1:
            raise UsageError(
                f"These models held out different images of {name}, so that none are new to all of them: evaluate them "
                "one by one, or give --data of images that none was trained on."
            )
        if found[0].held_out or "all" not in splits.splits:
            return found[0]
        note = f"No file beside the model says which images of {name} it was trained on: they are among those scored."
        return replace(splits, leak=note)
    known = max((trained_on(run, splits.splits["all"]) for run in runs), default=0) if "all" in splits.splits else 0
    if not known or other:
        return splits
    note = (
        f"{known:,} of the {len(splits.train):,} images in {name} have the names of images that the model was trained "
        "on: if they are the same, the metrics are too good. --split val scores those held out."
    )
    return replace(splits, leak=note)


def history_on(model: Path | None, name: str) -> list[Event] | None:
    """The events of the run that `model` lies in, if it was trained on the data `name`; else None.

    Args:
        model: a model file; None for a model that was not loaded from one.
    """
    run = RunFolder(model.parent) if model is not None else None
    if run is None or not run.recipe.exists() or not _same_place(run, name):
        return None
    try:
        return read_log(run.log)
    except FileError:  # its curves are gone; the model is not
        return []


def _same_place(run: RunFolder, name: str) -> bool:
    return os.path.realpath(read_plan(run.recipe).data) == os.path.realpath(name)


def _keys(splits: DatasetSplits) -> list[bytes]:
    dataset = splits.splits["test" if splits.is_pooled else "val"] if splits.held_out else None
    return [] if dataset is None else [dataset.key(index) for index in range(len(dataset))]


def trained_on(folder: RunFolder, dataset: Dataset) -> int:
    """Returns how many images of `dataset` have the name of one that the run in `folder` recorded as trained on."""
    record = read(folder.split) if folder.split.exists() else {}
    return sum(record.get(dataset.key(index)) == "train" for index in range(len(dataset)))


def _as_recorded(splits: DatasetSplits, record: Mapping[bytes, SplitName], name: str) -> DatasetSplits:
    is_pooled = "test" in record.values()
    dataset = pooled(splits) if is_pooled else splits.train
    places = [record.get(dataset.key(index)) for index in range(len(dataset))]
    notes: list[str] = []
    if new := [index for index, split in enumerate(places) if split is None]:
        named = ", ".join(dataset.name(index) for index in new[:5])
        notes.append(
            f"{len(new):,} images of {name} are new since training began, so that they are in neither train nor val: "
            f"{named}{' and more' if len(new) > 5 else ''}."
        )
    if gone := len(record) - (len(places) - len(new)):
        notes.append(f"{gone:,} images that training began with are no longer in {name}.")
    present = set(record.values())
    recorded: dict[SplitName, Dataset] = {
        split: Subset(dataset, np.array([i for i, s in enumerate(places) if s == split], np.int64))
        for split in (_OF_FOLDS if is_pooled else _HELD_OUT)
        if split in present
    }
    if not all(len(each) for split, each in recorded.items() if split != "train"):
        raise DataError(
            f"{name} has none of the images that the run held out: put them back, or give --data of other images."
        )
    by_name = recorded if is_pooled else {**splits.splits, **recorded}
    return replace(splits, splits=by_name, notes=(*splits.notes, *notes), held_out=True, is_pooled=is_pooled)
