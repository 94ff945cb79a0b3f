"""`--fold all`: a run for each fold, in folders of one folder, and the mean and the deviation of their metrics.

`folds.json` in that folder has what the runs share, so that `resume` goes on with the folds that are not finished.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resnets.artifacts import model_file
from resnets.core import clock
from resnets.core.errors import ResnetsError, UsageError
from resnets.core.typed import checked
from resnets.data.split_settings import MAX_FOLDS
from resnets.tasks.catalog import find
from resnets.training import runner
from resnets.training.distributed import LIMIT
from resnets.training.events import Subscriber
from resnets.training.plan import CheckpointPolicy, TrackerName, read_plan
from resnets.training.plan_file import read_plan_file, write_plan_file
from resnets.training.prepare import absolute_path
from resnets.training.recipe import Recipe
from resnets.training.run_folder import RunFolder
from resnets.training.sweep import with_absolute_paths

NAME = "folds.json"


@dataclass(frozen=True, kw_only=True)
@checked
class FoldsPlan:
    """The contents of folds.json.

    Args:
        recipe: of each run, which has its own fold.
        count: number of folds.
        device, workers, checkpoints, trackers: as `runner.train` takes them.
        data_path: absolute path of the data, where the recipe's `data` is a folder or a table.
    """

    recipe: Recipe
    count: int
    device: str = "auto"
    workers: int | None = None
    checkpoints: CheckpointPolicy
    trackers: tuple[TrackerName, ...] = ()
    data_path: str | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.count <= MAX_FOLDS:
            raise UsageError(f"There are 2 to {MAX_FOLDS:,} folds, not {self.count}.")

    def recipe_of(self, number: int) -> Recipe:
        """The recipe of a fold, from 1; from another working folder, with the path that was recorded."""
        path, data = self.data_path, self.recipe.data
        if path is not None and os.path.exists(path) and os.path.abspath(data) != path:
            data = path
        return replace(self.recipe, data=data, fold=f"{number}/{self.count}")


@dataclass(frozen=True)
class FoldResult:
    """A finished fold: its number, its folder and the metrics of its samples."""

    number: int
    folder: RunFolder
    metrics: Mapping[str, Any]


def begin_folds(folder: Path, plan: FoldsPlan) -> FoldsPlan:
    """Writes folds.json into a new folder; returns the plan as written.

    Raises:
        FileError: it cannot be written.
    """
    moved = with_absolute_paths(plan.recipe)
    recipe = replace(plan.recipe, weights=moved.weights, teacher=moved.teacher)
    plan = replace(plan, recipe=recipe, data_path=absolute_path(plan.recipe.data))
    write_plan_file(folder / NAME, plan)
    return plan


def read_folds(folder: Path) -> FoldsPlan | None:
    """The plan in `folder`; None where it is no folder of folds.

    Raises:
        FileError: folds.json is damaged, or of another version.
    """
    return read_plan_file(folder / NAME, FoldsPlan)


def run_folds(
    folder: Path,
    plan: FoldsPlan,
    *,
    rank_timeout: float = LIMIT,
    subscribers_of: Callable[[RunFolder], Sequence[Subscriber]] = lambda folder: (),
) -> Iterator[FoldResult]:
    """Runs each fold in `folder`/fold-N, or goes on with it; yields what is finished, one after another.

    Args:
        subscribers_of: the subscribers of the run in a folder.

    Raises:
        ResnetsError: a run could not go on; the message says how to resume all of them.
    """
    for number in range(1, plan.count + 1):
        own = RunFolder(folder / f"fold-{number}")
        started = clock.command_start() if number == 1 else time.monotonic()  # a time budget is of each run
        try:
            if own.recipe.exists():
                runner.resume(own, rank_timeout=rank_timeout, subscribers=subscribers_of(own), started=started)
            else:
                runner.train(
                    plan.recipe_of(number),
                    own,
                    device=plan.device,
                    workers=plan.workers,
                    checkpoints=plan.checkpoints,
                    trackers=plan.trackers,
                    rank_timeout=rank_timeout,
                    subscribers=subscribers_of(own),
                    started=started,
                )
        except ResnetsError as error:
            if number == 1 and not own.recipe.exists():  # nothing was begun
                (folder / NAME).unlink(missing_ok=True)
                raise
            error.args = (f"{error} All folds go on with: resnets resume {folder}", *error.args[1:])
            raise
        metrics = model_file.load(own.model)[1].metrics
        yield FoldResult(number, own, metrics.get("test") or metrics)


def summary_of(results: Sequence[FoldResult], plan: FoldsPlan) -> dict[str, Any]:
    """The mean of each metric of the task over the folds, and under "deviation" its standard deviation (n - 1).

    A metric that a fold lacks is left out.
    """
    task = read_plan(results[0].folder.recipe).recipe.task
    names = [metric.name for metric in find(task.name).metrics]
    values: dict[str, list[Any]] = {name: [result.metrics.get(name) for result in results] for name in names}
    whole = {name: each for name, each in values.items() if all(isinstance(value, int | float) for value in each)}
    return {
        "task": task.name,
        "data": read_plan(results[0].folder.recipe).data,
        "split": "test",
        "samples": sum(int(result.metrics.get("samples", 0)) for result in results),
        **{name: statistics.fmean(each) for name, each in whole.items()},
        "deviation": {name: statistics.stdev(each) if len(each) > 1 else None for name, each in whole.items()},
        "folds": [
            {
                "fold": f"{result.number}/{plan.count}",
                "folder": str(result.folder.path),
                "samples": result.metrics.get("samples"),
                **{name: result.metrics[name] for name in whole},
            }
            for result in results
        ],
    }
