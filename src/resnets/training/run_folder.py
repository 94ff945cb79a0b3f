"""The folder of a run: recipe.json, log.jsonl, model.safetensors, report.html."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnets.artifacts.model_file import MODEL_NAME
from resnets.core.config import decode, encode
from resnets.core.errors import FileError, UsageError
from resnets.core.files import explain, is_file_name, read_json, write_json
from resnets.core.renamed import renamed_fields
from resnets.core.typed import checked, short
from resnets.core.workers import MAX_WORKERS
from resnets.data.fingerprint import Fingerprint
from resnets.data.splits import SplitRule
from resnets.modalities.catalog import NAMES
from resnets.training.environment import Environment
from resnets.training.recipe import Recipe

FORMAT = 1
Event = dict[str, Any]
Subscriber = Callable[[Event], None]


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


@renamed_fields
@dataclass(frozen=True, kw_only=True)
@checked
class CheckpointPolicy:
    """When checkpoints are written and what is kept. None of it changes a result.

    Args:
        minutes: between checkpoints; None for no such rule.
        steps: between checkpoints; None for no such rule.
        keep: how many of the last are kept.
        monitor: a metric of the evaluations ("accuracy", "top5", "loss"); the model with the best one is kept as
            best.safetensors. It is chosen by its figure, which is so too good: report the final one.
    """

    minutes: float | None = 5.0
    steps: int | None = None
    keep: int = 2
    monitor: str | None = None

    def __post_init__(self) -> None:
        if (
            (self.minutes is not None and self.minutes < 0)
            or (self.steps is not None and self.steps < 1)
            or self.keep < 1
        ):
            raise UsageError("checkpoints need minutes of 0 or more, steps and keep of 1 or more.")
        if self.monitor not in (None, "accuracy", "top5", "loss"):
            raise UsageError(f"monitor takes accuracy, top5 or loss, not {self.monitor}.")

    def check_classes(self, count: int) -> None:
        """Raises `UsageError` if every model of `count` classes would be the best one."""
        if self.monitor == "top5" and count <= 5:
            raise UsageError(
                f"With {count} classes the right one is always among the first five: monitor accuracy or loss."
            )


@renamed_fields
@dataclass(frozen=True, kw_only=True)
@checked
class Plan:
    """What recipe.json says: all that decides a run.

    Args:
        recipe: as it was resolved against the data.
        environment: on which the last bit depends.
        checkpoints: of checkpoints.
        workers: threads that decode.
        data_sha256: over the training images.
        data_fingerprint: what that covers; runs begun before 0.2 say nothing and have names and labels alone.
        split_rule: how images are held out of data without `val` and `test`; see `resnets.data.splits`.
        data_path: where the data lies now, absolute, where the recipe's `data` is a folder; None of earlier runs.
        tensorboard: whether events are also written for TensorBoard.
        extensions: epochs of each extension of the finished run; see `training.extension`.

    Raises:
        UsageError: an extension that is none.
    """

    recipe: Recipe
    environment: Environment
    checkpoints: CheckpointPolicy
    workers: int
    data_sha256: str
    split_rule: SplitRule = "stratified"  # of the runs that do not say
    data_fingerprint: Fingerprint = "names"  # of the runs that do not say
    data_path: str | None = None
    tensorboard: bool = False
    extensions: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.workers <= MAX_WORKERS:
            raise UsageError(f"workers must be from 0 to {MAX_WORKERS}, not {self.workers}.")
        if not all(0 < epochs < 1e6 for epochs in self.extensions):
            raise UsageError(f"extensions must be epochs above 0, not {list(self.extensions)}.")

    @property
    def data(self) -> str:
        """What to open: the data where it was last, else what the recipe calls it."""
        path = self.data_path
        if path in NAMES:
            return path
        if path is None or (not os.path.exists(path) and os.path.exists(self.recipe.data)):
            return self.recipe.data
        return path

    @property
    def sha256(self) -> str:
        """Over all that decides the result."""
        read = decode(Recipe, encode(self.recipe))  # in which 6 epochs are 6.0, as when it was read
        recipe = encode(read, original=True)  # under the keys of version 0.1, whatever they are called today
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
    """A folder for a new run: `out`, not made yet, or the first free one of runs/name, runs/name-2, ..., which is made.

    Making it claims it, so that of two processes that begin at once each has its own.

    Raises:
        UsageError: `out` already holds something.
        FileError: the folder cannot be made.
    """
    if not is_file_name(str(out or name)):
        raise UsageError(f"No folder can be called {short(str(out or name))}: give --out.")
    if out is None:
        return RunFolder(_claimed(Path("runs") / name.replace("/", "-")))
    path = Path(out)
    if os.path.exists(path) and (not path.is_dir() or any(path.iterdir())):
        advice = f"go on with: resnets resume {path}, or give" if (path / "recipe.json").exists() else "give"
        raise UsageError(f"{path} already exists: {advice} another --out.")
    return RunFolder(path)


def _claimed(plain: Path) -> Path:
    try:
        for number in itertools.count(1):
            path = plain if number == 1 else plain.with_name(f"{plain.name}-{number}")
            plain.parent.mkdir(parents=True, exist_ok=True)  # another process may just have removed it, empty
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                return path
    except OSError as error:
        raise explain("make a folder in", plain.parent, error) from error
    raise AssertionError
