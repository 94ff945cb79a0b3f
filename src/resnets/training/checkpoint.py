"""Checkpoints: everything that a run needs to continue exactly where it was, in safetensors and JSON.

`step-N.safetensors` holds the tensors. `step-N.json`, written after it, holds the rest and a SHA-256 of both; without
it there is no checkpoint. The order of the data needs no state: it is a function of the step.

A checkpoint is damaged only if it proves to differ from what was written (a wrong hash, a torn file). The one before it
is then used, and it is removed once a later one is whole. A checkpoint that cannot be read at present, or that a newer
version wrote, is an error that changes nothing on the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import safetensors.torch
from torch import Tensor

from resnets.core.config import OMITTED_BY_DEFAULT, decode, encode
from resnets.core.errors import FileError, UsageError
from resnets.core.files import explain
from resnets.core.renamed import renamed_fields
from resnets.training.budget import BudgetState
from resnets.training.length import PlannedLength
from resnets.training.schedules import PlateauState

FORMAT = 1
_NAME = re.compile(r"step-([0-9]{9,18})\.json")


class DamagedError(FileError):
    """A checkpoint that does not hold what was written."""


@dataclass(frozen=True, kw_only=True)
class TrainState:
    """The state of a run beside its tensors.

    Args:
        step: optimiser steps done.
        log_bytes: length of log.jsonl; what comes after is cut off on resume.
        seconds: of training so far.
        plateau: of the schedule.
        best: the best evaluation so far by the metric that picks the best model: its value and its loss, both with the
            sign that makes higher better. A single number, the value alone, in checkpoints of version 0.1.
        recipe_sha256: of the run's recipe.json.
        skipped: steps left out for a gradient that was not finite.
        evaluation_pending: whether the evaluation after `step` is still to be done.
        lengths: of a run with a time budget: as it was planned up to `step`.
        budget: what that run has used and what it has measured.
        unimproved: evaluations since the monitored metric was better than ever before.

    Raises:
        UsageError: a value is out of range.
    """

    step: int
    log_bytes: int
    seconds: float
    recipe_sha256: str
    plateau: PlateauState = field(default_factory=PlateauState)
    best: tuple[float, ...] | float | None = None
    skipped: int = 0
    evaluation_pending: bool = False
    lengths: tuple[PlannedLength, ...] = field(default=(), metadata=OMITTED_BY_DEFAULT)
    budget: BudgetState | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    unimproved: int = field(default=0, metadata=OMITTED_BY_DEFAULT)

    def __post_init__(self) -> None:
        plateau = self.plateau
        if (
            not 0 <= self.skipped <= self.step < 2**53
            or not 0 <= self.log_bytes < 2**53
            or not 0 <= self.seconds < math.inf
            or plateau.bad < 0
            or self.unimproved < 0
            or not 0 <= plateau.factor < math.inf
        ):
            raise UsageError("step, skipped, log_bytes, seconds or plateau is out of range.")


@renamed_fields
@dataclass(frozen=True, kw_only=True)
class Description:
    """The JSON of a checkpoint."""

    format: int
    state: TrainState
    sha256: str


def sha256_of(tensors: bytes, state: TrainState) -> str:
    """Returns the hash of both files of a checkpoint."""
    digest = hashlib.sha256(tensors)
    digest.update(json.dumps(encode_state(state), sort_keys=True).encode())
    return digest.hexdigest()


def encode_description(tensors: bytes, state: TrainState) -> dict[str, object]:
    """Returns the JSON of a checkpoint. `state` stands under its first name, so that earlier versions read it, too."""
    return {"format": FORMAT, "memory": encode_state(state), "sha256": sha256_of(tensors, state)}


def encode_state(state: TrainState) -> dict[str, object]:
    """Returns `state` as JSON. Fields that came later are left out at their defaults, so that old hashes hold."""
    data: dict[str, object] = encode(state)
    if not state.evaluation_pending:
        del data["evaluation_pending"]
    return data


def steps(folder: Path) -> list[int]:
    """Returns the steps of the checkpoints in `folder`, the newest first; none if there is no such folder.

    Raises:
        FileError: the folder cannot be read.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(folder, error) from error
    return sorted((int(match[1]) for match in map(_NAME.fullmatch, names) if match), reverse=True)


def remove(folder: Path, which: Iterable[int]) -> None:
    """Removes checkpoints, the JSON of each first, so that none is ever half there; ignores what cannot be removed."""
    for step in which:
        with contextlib.suppress(OSError):
            json_path(folder, step).unlink(missing_ok=True)
            tensors_path_of(folder, step).unlink(missing_ok=True)


@dataclass(frozen=True)
class Saved:
    """A checkpoint that was read.

    Args:
        damaged: steps of later checkpoints that are damaged.
        notes: a line for each of those.
    """

    tensors: dict[str, Tensor]
    state: TrainState
    damaged: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def read(folder: Path, step: int) -> Saved:
    """Reads one checkpoint.

    Raises:
        DamagedError: it does not hold what was written.
        FileError: it cannot be read, or is of a newer version.
    """
    path, tensors_path = json_path(folder, step), tensors_path_of(folder, step)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is damaged: it is not valid JSON ({error}).") from error
    version = data.get("format") if isinstance(data, dict) else None
    if type(version) is not int or version != FORMAT:
        raise FileError(
            f"{path} has format {str(version)[:40]}, and this version of resnets reads format {FORMAT}: resume with "
            f"the version that wrote it{_or_train_anew(folder)}"
        )
    try:
        description = decode(Description, data)
        content = tensors_path.read_bytes()
    except UsageError as error:
        raise DamagedError(f"{path} is damaged: {error}") from error
    except FileNotFoundError as error:
        if tensors_path.is_symlink():  # to a disk that is not there at present
            raise _unreadable(tensors_path, error) from error
        raise DamagedError(f"{tensors_path} is missing.") from error
    except OSError as error:
        raise _unreadable(tensors_path, error) from error
    if sha256_of(content, description.state) != description.sha256 or description.state.step != step:
        raise DamagedError(f"{tensors_path} or its JSON is damaged: it does not hold what was written.")
    try:
        return Saved(safetensors.torch.load(content), description.state)
    except MemoryError:
        raise
    except Exception as error:  # safetensors' own error, and those of torch on wrong shapes
        raise DamagedError(f"{tensors_path} is not a whole safetensors file ({error}).") from error


def newest(folder: Path, recipe_sha256: str, *, before: int | None = None) -> Saved | None:
    """Reads the newest whole checkpoint; returns None if there is none at all.

    Args:
        before: consider only checkpoints of fewer steps.

    Raises:
        FileError: the newest one cannot be read or belongs to another recipe, or all are damaged.
    """
    damaged: list[int] = []
    notes: list[str] = []
    for step in steps(folder):
        if before is not None and step >= before:
            continue
        try:
            found = read(folder, step)
        except DamagedError as error:
            damaged.append(step)
            notes.append(f"{error} The checkpoint before it is used.")
            continue
        if found.state.recipe_sha256 != recipe_sha256:
            raise FileError(
                f"{json_path(folder, step)} belongs to another recipe than {folder.parent / 'recipe.json'}: "
                "put the run's own recipe back, or train in a new folder."
            )
        return replace(found, damaged=tuple(damaged), notes=tuple(notes))
    if damaged:
        first = notes[0].removesuffix(" The checkpoint before it is used.")
        raise FileError(
            f"None of the {len(damaged)} checkpoints in {folder} is whole, and none was changed. The newest: {first} "
            f"Put a copy back{_or_train_anew(folder)}"
        )
    return None


def _unreadable(path: Path, error: OSError) -> FileError:
    return FileError(
        f"{explain('read', path, error)} Nothing was changed: resume when it can be read{_or_train_anew(path.parent)}"
    )


def _or_train_anew(folder: Path) -> str:
    run = folder.parent if folder.name == "checkpoint" else folder
    return f", or train anew: resnets train {run / 'recipe.json'} --out FOLDER."


def json_path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09}.json"


def tensors_path_of(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09}.safetensors"
