"""Samples of one split that are samples of another as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import FileError
from resnets.core.files import sha256_of
from resnets.core.units import show_count
from resnets.data.file_table import Files, FileTables
from resnets.modalities.base import Dataset, DatasetSplits, SplitName


def leaks(train: Dataset, splits: DatasetSplits, tables: FileTables) -> dict[SplitName, list[int]]:
    """The samples of `val` and of `test` whose file is among those of `train`, by their numbers; see `shared_files`."""
    others = {name: each for name, each in splits.splits.items() if name in ("val", "test")}
    found = {name: shared_files(train, each, tables) for name, each in others.items()}
    return {name: shared for name, shared in found.items() if shared}


def leak_notes(found: Mapping[SplitName, list[int]], splits: DatasetSplits) -> tuple[str, ...]:
    """What is said of `leaks`, a line for each split."""
    notes = []
    for name, shared in found.items():
        dataset = splits.splits[name]
        notes.append(
            f"{len(shared):,} of the {len(dataset):,} samples of {name} have the files of training samples, so that "
            f"its metrics are too good: {dataset.name(shared[0])}{' and others' if len(shared) > 1 else ''}. resnets "
            "check names all."
        )
    return tuple(notes)


def started(history: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The event that a run began with; empty without one."""
    return next((event for event in history if event["event"] == "start"), {})


def recorded_leak(history: Sequence[Mapping[str, Any]], split: str, samples: int) -> str | None:
    """Why the metrics of `split` cannot be trusted, by the events of a run; None where nothing is known of a leak.

    Args:
        samples: of the split.
    """
    start = started(history)
    of_old_runs = {start.get("split", "val"): start.get("leaked_samples", 0)}
    leaked = start.get("leaked", of_old_runs).get(split, 0)
    if not leaked:
        return None
    return (
        f"{leaked:,} of the {show_count(samples, 'sample')} are among the training samples as well, and models "
        "remember those: resnets check names them. Take them out of one side, and train anew."
    )


def shared_files(train: Dataset, other: Dataset, tables: FileTables) -> list[int]:
    """The numbers of the samples of `other` whose file has the bytes of one of `train`.

    Only files are read whose size and first and last 4 KiB, which `tables` has, are those of another one. `resnets
    check` compares what the files decode to. Empty where samples are no files.
    """
    mine, theirs = tables.of(train), tables.of(other)
    if not mine or not theirs:
        return []
    own, others = _keys(mine[0]), _keys(theirs[0])
    both = np.intersect1d(own[mine[0].records["size"] >= 0], others[theirs[0].records["size"] >= 0])
    known = {_content(mine[0], number) for number in np.flatnonzero(np.isin(own, both)).tolist()} - {None}
    return [n for n in np.flatnonzero(np.isin(others, both)).tolist() if _content(theirs[0], n) in known]


def _keys(files: Files) -> NDArray[np.int64]:
    """(N,) a hash of the size and of both ends of each file."""
    records = files.records
    digests = np.frombuffer(np.ascontiguousarray(records["digest"]).tobytes(), "<i8").reshape(len(records), 2)
    return np.asarray(digests[:, 0] ^ records["size"])


def _content(files: Files, number: int) -> str | None:
    """A hash of the whole file; None where it cannot be read."""
    try:
        return sha256_of(Path(files.path(number)))
    except FileError:
        return None
