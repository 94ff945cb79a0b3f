"""Checkpoints: all that a run needs to go on exactly where it was, in safetensors and JSON.

`step-N.safetensors` holds the tensors and `step-N.json`, written after it, the rest with a SHA-256 of both; a
checkpoint without its JSON does not exist. The order of the data needs no state: it is a function of the step.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from resnets.errors import FileError, UsageError
from resnets.files import explain, read_json, write_bytes, write_json
from resnets.frozen import decode, encode
from resnets.training.schedules import PlateauState

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What a run remembers beside its tensors.

    Args:
        step: optimiser steps done.
        log_bytes: length of log.jsonl; what came after is cut off when the run goes on.
        seconds: trained so far.
        plateau: of the schedule.
        best: the best evaluation so far by the metric whose best model is kept: its value and its loss, both with the
            sign that makes more better. A single number, the value alone, in checkpoints of version 0.1.
        recipe_sha256: of the run's recipe.json.
        skipped: steps left out for a gradient that was not finite.
    """

    step: int
    log_bytes: int
    seconds: float
    recipe_sha256: str
    plateau: PlateauState = field(default_factory=PlateauState)
    best: tuple[float, ...] | float | None = None
    skipped: int = 0


@dataclass(frozen=True, kw_only=True)
class _Description:
    """The JSON of a checkpoint."""

    format: int
    memory: Memory
    sha256: str


class Writer:
    """Writes checkpoints in a thread of its own; training waits only while tensors are copied.

    Args:
        folder: of the checkpoints.
        keep: how many of the last are kept.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self.keep = keep
        self._thread: threading.Thread | None = None
        self._error: FileError | None = None
        self.cpu_seconds = 0.0  # spent in writing; training may have had other use for them
        for leftover in folder.glob(".step-*.part"):  # of a process that was killed while it wrote
            leftover.unlink(missing_ok=True)

    def write(self, tensors: dict[str, Tensor], memory: Memory) -> None:
        """Starts writing a copy of `tensors`; waits first for the checkpoint before.

        Raises:
            FileError: the checkpoint before could not be written.
        """
        self.wait()
        copies = {name: _copy(tensor) for name, tensor in tensors.items()}
        self._thread = threading.Thread(target=self._write, args=(copies, memory), name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Waits until what was begun is on the disk. Raises `FileError` if it is not."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _write(self, tensors: dict[str, Tensor], memory: Memory) -> None:
        started = time.thread_time()
        try:
            data = safetensors.torch.save(tensors)
            description = _Description(format=FORMAT, memory=memory, sha256=_sha256(data, memory))
            write_bytes(_tensors_path(self.folder, memory.step), data)
            write_json(_json_path(self.folder, memory.step), encode(description))
            kept = steps(self.folder)
            # Later ones are damaged, or the run would have gone on from there.
            remove(self.folder, [step for step in kept if step > memory.step])
            remove(self.folder, [step for step in kept if step <= memory.step][self.keep :])
        except FileError as error:
            self._error = error
        except Exception as error:  # whatever it is, training must not believe that its work is saved
            self._error = FileError(f"Cannot write a checkpoint into {self.folder}: {error}.")
        finally:
            self.cpu_seconds += time.thread_time() - started


def _sha256(tensors: bytes, memory: Memory) -> str:
    """Over both halves of a checkpoint."""
    digest = hashlib.sha256(tensors)
    digest.update(json.dumps(encode(memory), sort_keys=True).encode())
    return digest.hexdigest()


def _copy(tensor: Tensor) -> Tensor:
    """A contiguous copy on the CPU."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def steps(folder: Path) -> list[int]:
    """Steps of the checkpoints in `folder`, the newest first."""
    names = (path.stem.removeprefix("step-") for path in folder.glob("step-*.json"))
    return sorted((int(name) for name in names if name.isdigit()), reverse=True)


def remove(folder: Path, which: Iterable[int]) -> None:
    """Removes checkpoints, each description first, so that none is ever seen half gone."""
    for step in which:
        for path in (_json_path(folder, step), _tensors_path(folder, step)):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def read(folder: Path, step: int) -> tuple[dict[str, Tensor], Memory]:
    """One checkpoint.

    Raises:
        FileError: it is damaged, or of a newer version.
    """
    path, tensors_path = _json_path(folder, step), _tensors_path(folder, step)
    data = read_json(path)
    if isinstance(data, dict) and isinstance(data.get("format"), int) and data["format"] > FORMAT:
        raise FileError(f"{path} was written by a newer version of resnets: upgrade.")
    try:
        description = decode(_Description, data)
        content = tensors_path.read_bytes()
    except UsageError as error:
        raise FileError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise explain("read", tensors_path, error) from error
    if _sha256(content, description.memory) != description.sha256:
        raise FileError(f"{tensors_path} or its JSON is damaged: it does not hold what was written.")
    return safetensors.torch.load(content), description.memory


def newest(
    folder: Path, recipe_sha256: str, *, before: int | None = None
) -> tuple[tuple[dict[str, Tensor], Memory] | None, list[str]]:
    """The newest whole checkpoint, or None, and a line for each that was found damaged.

    Args:
        before: only checkpoints of fewer steps.

    Raises:
        FileError: the newest one belongs to another recipe.
    """
    notes: list[str] = []
    for step in steps(folder):
        if before is not None and step >= before:
            continue
        try:
            found = read(folder, step)
        except FileError as error:
            notes.append(f"{error} The checkpoint before it is used.")
            continue
        if found[1].recipe_sha256 != recipe_sha256:
            raise FileError(
                f"{_json_path(folder, step)} belongs to another recipe than {folder.parent / 'recipe.json'}: "
                "put the run's own recipe back, or train in a new folder."
            )
        return found, notes
    return None, notes


def _json_path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09}.json"


def _tensors_path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09}.safetensors"
