"""The folder of a run: the paths of its files, and how a new one is named."""

from __future__ import annotations

import contextlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from resnets.artifacts.model_file import MODEL_NAME
from resnets.core.errors import UsageError
from resnets.core.files import explain, is_file_name
from resnets.core.typed import short


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run."""

    path: Path

    @property
    def recipe(self) -> Path:
        """The plan; see `training.plan`."""
        return self.path / "recipe.json"

    @property
    def log(self) -> Path:
        """The events; see `training.run_log`."""
        return self.path / "log.jsonl"

    @property
    def model(self) -> Path:
        """The model to use: the best one where a metric is monitored, else that of the last step."""
        return self.path / MODEL_NAME

    @property
    def last(self) -> Path:
        """The model of the last step, where a metric is monitored or the model is a soup."""
        return self.path / "last.safetensors"

    @property
    def best(self) -> Path:
        """The best model so far, where a metric is monitored."""
        return self.path / "best.safetensors"

    @property
    def soup(self) -> Path:
        """The folder of the weights that may be averaged at the end; see `training.soup`."""
        return self.path / "soup"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def predictions(self) -> Path:
        """The answer to each sample that the report is about."""
        return self.path / "predictions.csv"

    @property
    def split(self) -> Path:
        """Which images were trained on and which held out, where the run split the data; see `run_split`."""
        return self.path / "split.jsonl.gz"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoint"


def new_run_folder(out: str | Path | None, name: str) -> RunFolder:
    """Returns the folder of a new run.

    That is `out`, which is not made yet, or else the first free one of runs/name, runs/name-2, ..., which is made:
    making it claims it, so that two processes that begin at once get one each.

    Raises:
        UsageError: `out` already holds something, or is not a valid file name.
        FileError: the folder cannot be made.
    """
    if not is_file_name(str(out or name)):
        raise UsageError(f"No folder can be called {short(str(out or name))}: give --out.")
    if out is None:
        return RunFolder(_claim(Path("runs") / name.replace("/", "-")))
    path = Path(out)
    if os.path.exists(path) and (not path.is_dir() or any(path.iterdir())):
        advice = f"go on with: resnets resume {path}, or give" if (path / "recipe.json").exists() else "give"
        raise UsageError(f"{path} already exists: {advice} another --out.")
    return RunFolder(path)


def _claim(plain: Path) -> Path:
    """Makes and returns `plain`, or the first free `plain`-N."""
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
