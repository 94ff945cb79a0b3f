"""The folder of a run: recipe.json, log.jsonl, model.safetensors, report.html."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from resnets.artifacts.model_file import MODEL_NAME
from resnets.cores import MAX_WORKERS
from resnets.data.splits import SplitRule
from resnets.errors import FileError, UsageError
from resnets.files import explain, is_file_name, read_json, to_json, write_json
from resnets.frozen import decode, encode
from resnets.training.environment import Environment
from resnets.training.recipe import Recipe
from resnets.typed import checked, short

FORMAT = 1
Event = dict[str, Any]
Listener = Callable[[Event], None]


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run."""

    path: Path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.json"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def model(self) -> Path:
        return self.path / MODEL_NAME

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def best(self) -> Path:
        return self.path / "best.safetensors"

    @property
    def split(self) -> Path:
        """Which images were trained on and which held out, where the run shared them out; see `run_split`."""
        return self.path / "split.jsonl.gz"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoint"


@dataclass(frozen=True, kw_only=True)
@checked
class Keeping:
    """When checkpoints are written and what is kept. None of it changes a result.

    Args:
        minutes: between checkpoints; None for no such rule.
        steps: between checkpoints; None for no such rule.
        keep: how many of the last are kept.
        best: a figure of the evaluations ("accuracy", "top5", "loss"); the model with the best one is kept as
            best.safetensors. Its figure is chosen on the test set, and so too good: report the final one.
    """

    minutes: float | None = 5.0
    steps: int | None = None
    keep: int = 2
    best: str | None = None

    def __post_init__(self) -> None:
        if (
            (self.minutes is not None and self.minutes < 0)
            or (self.steps is not None and self.steps < 1)
            or self.keep < 1
        ):
            raise UsageError("checkpoints need minutes of 0 or more, steps and keep of 1 or more.")
        if self.best not in (None, "accuracy", "top5", "loss"):
            raise UsageError(f"best takes accuracy, top5 or loss, not {self.best}.")

    def check_classes(self, count: int) -> None:
        """Raises `UsageError` if every model of `count` classes would be the best one."""
        if self.best == "top5" and count <= 5:
            raise UsageError(
                f"With {count} classes the right one is always among the first five: choose best accuracy or loss."
            )


@dataclass(frozen=True, kw_only=True)
@checked
class Plan:
    """What recipe.json says: all that decides a run.

    Args:
        recipe: as it was resolved against the data.
        environment: on which the last bit depends.
        keeping: of checkpoints.
        workers: threads that decode.
        data_sha256: over names and labels of the training pictures.
        split_rule: how images are held out of data without `val` and `test`; see `resnets.data.splits`.
    """

    recipe: Recipe
    environment: Environment
    keeping: Keeping
    workers: int
    data_sha256: str
    split_rule: SplitRule = "stratified"  # of the runs that do not say

    def __post_init__(self) -> None:
        if not 0 <= self.workers <= MAX_WORKERS:
            raise UsageError(f"workers must be from 0 to {MAX_WORKERS}, not {self.workers}.")

    @property
    def sha256(self) -> str:
        """Over all that decides the result."""
        recipe = encode(decode(Recipe, encode(self.recipe)))  # in which 6 epochs are 6.0, as when it was read
        for name in ("memory_limit", "capture", "deterministic"):  # how it is computed
            del recipe[name]
        decisive = {"recipe": recipe, "data": self.data_sha256}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def write_plan(path: Path, plan: Plan) -> None:
    """Writes recipe.json."""
    write_json(path, {"format": FORMAT, **encode(plan)})


def read_plan(path: Path) -> Plan:
    """What `write_plan` wrote.

    Raises:
        FileError: it is missing, damaged, or of another version.
    """
    data = read_json(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise FileError(f"{path} is no recipe of format {FORMAT}; read it with the version of resnets that wrote it.")
    try:
        return decode(Plan, {key: value for key, value in data.items() if key != "format"})
    except UsageError as error:
        raise FileError(f"{path} is damaged: {error}") from error


def new_run_folder(out: str | Path | None, name: str) -> RunFolder:
    """A folder, not made yet, for a new run: `out`, or the first free one of runs/name, runs/name-2, ...

    Raises:
        UsageError: `out` already holds something.
    """
    if not is_file_name(str(out or name)):
        raise UsageError(f"No folder can be called {short(str(out or name))}: give --out.")
    if out is None:
        plain = Path("runs") / name.replace("/", "-")
        numbered = (plain.with_name(f"{plain.name}-{i}") for i in range(2, 10**6))
        path = plain if not os.path.exists(plain) else next(p for p in numbered if not p.exists())
    else:
        path = Path(out)
        if os.path.exists(path) and (not path.is_dir() or any(path.iterdir())):
            advice = f"go on with: resnets resume {path}, or give" if (path / "recipe.json").exists() else "give"
            raise UsageError(f"{path} already exists: {advice} another --out.")
    return RunFolder(path)


class Log:
    """Appends events to `log.jsonl`, a line each, at once.

    Args:
        length: what the file is cut to first.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        self.path = path
        try:
            self._file: BinaryIO = open(path, "ab")  # noqa: SIM115
            self._file.truncate(min(length, os.fstat(self._file.fileno()).st_size))
        except OSError as error:
            raise explain("write", path, error) from error

    def __call__(self, event: Event) -> None:
        try:
            self._file.write((to_json(event) + "\n").encode())
            self._file.flush()
        except OSError as error:
            raise explain("write", self.path, error) from error

    def length(self) -> int:
        """Bytes so far, all of them on the disk."""
        try:
            os.fsync(self._file.fileno())
            return os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise explain("write", self.path, error) from error

    def close(self) -> None:
        # What a full disk did not take was told when it was written.
        with contextlib.suppress(OSError):
            self._file.close()


def read_log(path: Path) -> list[Event]:
    """The events in a log; a last line that was cut off is left out.

    Raises:
        FileError: it cannot be read, or a line before the last is no event.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise explain("read", path, error) from error
    events: list[Event] = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            raise FileError(f"{path} is damaged: line {number} is no event.")
        events.append(event)
    return events
