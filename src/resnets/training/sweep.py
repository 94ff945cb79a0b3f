"""`--sweep SETTING=A,B`: a run for each combination of values, in folders of one folder.

`sweep.json` in that folder has what is to be run, so that `resume` goes on with what is not finished.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from resnets.artifacts import model_file
from resnets.core.errors import TrainingError, UsageError
from resnets.core.files import read_json, write_json
from resnets.core.typed import checked
from resnets.training import runner
from resnets.training.endings import recorded_problem
from resnets.training.events import Event
from resnets.training.plan import CheckpointPolicy, TrackerName
from resnets.training.plan_file import read_plan_file, write_plan_file
from resnets.training.prepare import absolute_path
from resnets.training.recipe import Recipe
from resnets.training.run_folder import RunFolder

NAME = "sweep.json"
FAILED = "failed.json"  # in the folder of a run that could not go on
MOST = 1000  # runs
Cluster = Literal["ray"]
_OPENING, _CLOSING = "[{(", "]})"

Log = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
@checked
class SweepPlan:
    """The contents of sweep.json.

    Args:
        names: of the settings that differ.
        values: of these settings, for each run.
        recipes: of each run.
        jobs: runs at a time.
        cluster: of machines on which they run; None for this machine.
        device, workers, checkpoints, trackers: as `runner.train` takes them.
    """

    names: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    recipes: tuple[Recipe, ...]
    jobs: int = 1
    cluster: Cluster | None = None
    device: str = "auto"
    workers: int | None = None
    checkpoints: CheckpointPolicy
    trackers: tuple[TrackerName, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.recipes) <= MOST or len(self.values) != len(self.recipes):
            raise UsageError(
                f"A sweep has 1 to {MOST:,} runs, with a value of each setting, not {len(self.recipes):,}."
            )


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep, which a process of its own can be given.

    Args:
        path: its folder.
        number: from 1.
        again: whether it is tried again where it had failed.
    """

    plan: SweepPlan
    path: Path
    number: int
    again: bool = False

    @property
    def title(self) -> str:
        """Such as "optimizer.lr=0.1 seed=2"."""
        pairs = zip(self.plan.names, self.plan.values[self.number - 1], strict=True)
        return " ".join(f"{name}={value}" for name, value in pairs)

    def __call__(self, log: Log) -> dict[str, Any]:
        """Trains to the end, or goes on with what was interrupted; returns the metrics, or under "failed" why the run
        could not go on, which is kept: it is tried again where that is asked for. A model of no use is a failure too.
        """
        failed = self.path / FAILED
        if failed.exists():
            if not self.again:
                return dict(read_json(failed))
            failed.unlink()

        def subscriber(event: Event) -> None:
            if event["event"] == "evaluation":
                log(f"run {self.number} of {len(self.plan.recipes)}, {self.title}: epoch {event['epoch']:.4g}")

        folder, plan = RunFolder(self.path), self.plan
        started = time.monotonic()  # a time budget is of each run
        try:
            if folder.recipe.exists():
                runner.resume(folder, subscribers=(subscriber,), started=started)
            else:
                runner.train(
                    plan.recipes[self.number - 1],
                    folder,
                    device=plan.device,
                    workers=plan.workers,
                    checkpoints=plan.checkpoints,
                    trackers=plan.trackers,
                    subscribers=(subscriber,),
                    started=started,
                )
        except (TrainingError, UsageError) as error:  # such as a rate at which training diverges, or too little time
            found = {"failed": str(error)}
            write_json(failed, found)
            log(f"run {self.number} of {len(self.plan.recipes)}, {self.title}: {error}")
            return found
        problem = recorded_problem(folder)
        return dict(model_file.load(folder.model)[1].metrics) if problem is None else {"failed": problem}


def combinations(sweeps: Sequence[str]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The names of the settings in texts such as "seed=0,1", and every combination of their values.

    Commas within brackets and quotes divide no values.

    Raises:
        UsageError: a text is no such assignment, or a setting or a value occurs twice.
    """
    names, values = [], []
    for text in sweeps:
        name, equals, rest = text.partition("=")
        found = [each.strip() for each in _divided(rest)]
        if not equals or not name.strip() or "" in found:
            raise UsageError(f"A sweep is SETTING=A,B, such as optimizer.lr=1e-3,3e-3, not {text!r}.")
        if name.strip() in names:
            raise UsageError(f"{name.strip()} is swept twice: give all of its values at once.")
        if len(set(found)) < len(found):
            raise UsageError(f"A value of {name.strip()} occurs twice: {rest}.")
        names.append(name.strip())
        values.append(found)
    count = len(list(itertools.islice(itertools.product(*values), MOST + 1)))
    if count > MOST:
        raise UsageError(f"A sweep has at most {MOST:,} runs: give fewer values.")
    return tuple(names), tuple(itertools.product(*values))


def _divided(text: str) -> list[str]:
    """`text` at its commas, but for those within brackets and quotes."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        quoted ^= character == '"'
        depth += 0 if quoted else (character in _OPENING) - (character in _CLOSING)
        if character == "," and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def begin_sweep(folder: Path, plan: SweepPlan) -> SweepPlan:
    """Writes sweep.json into a new folder; returns the plan as written, with absolute paths: a resume may start in
    another folder.

    Raises:
        FileError: it cannot be written.
    """
    plan = replace(plan, recipes=tuple(map(with_absolute_paths, plan.recipes)))
    write_plan_file(folder / NAME, plan)
    return plan


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """`recipe` for a process in another folder."""
    teacher = recipe.teacher
    return replace(
        recipe,
        data=absolute_path(recipe.data) or recipe.data,
        weights=None if recipe.weights is None else absolute_path(recipe.weights) or recipe.weights,
        teacher=teacher and replace(teacher, model=absolute_path(teacher.model) or teacher.model),
    )


def read_sweep(folder: Path) -> SweepPlan | None:
    """The plan in `folder`; None where it is no folder of a sweep.

    Raises:
        FileError: sweep.json is damaged, or of another version.
    """
    return read_plan_file(folder / NAME, SweepPlan)


def runs_of(folder: Path, plan: SweepPlan, *, again: bool = False) -> list[SweepRun]:
    """The runs of a sweep, each in `folder`/run-N.

    Args:
        again: whether those that had failed are tried again.
    """
    return [SweepRun(plan, folder / f"run-{number}", number, again) for number in range(1, len(plan.recipes) + 1)]


def summary_of(plan: SweepPlan, results: Sequence[Mapping[str, Any]], metric: str, *, most: bool) -> dict[str, Any]:
    """The table of a sweep: a row for each combination of the settings but the seed, with mean and standard deviation
    of the metric over seeds; the best first, and last those of which every run failed.

    Args:
        results: of each run, in their order.
        metric: by its name.
        most: whether more of it is better.

    Returns:
        "metric", "split", "names", "rows" (each with "values", "mean", "deviation", "test", "runs" and "failed", which
        count) and "best", the number of the best run of the best row; None without `val`, which alone may choose.
    """
    split = next((str(each["split"]) for each in results if "split" in each), "val")
    kept = [place for place, name in enumerate(plan.names) if name != "seed"]
    grouped: dict[tuple[str, ...], list[int]] = {}
    for number, values in enumerate(plan.values):
        grouped.setdefault(tuple(values[place] for place in kept), []).append(number)
    rows: list[dict[str, Any]] = []
    for values, numbers in grouped.items():
        found = {n: results[n][metric] for n in numbers if results[n].get(metric) is not None}
        tests = [results[n]["test"][metric] for n in found if (results[n].get("test") or {}).get(metric) is not None]
        rows.append(
            {
                "values": list(values),
                "mean": statistics.fmean(found.values()) if found else None,
                "deviation": statistics.stdev(found.values()) if len(found) > 1 else None,
                "test": statistics.fmean(tests) if tests else None,
                "runs": [n + 1 for n in numbers],
                "failed": len(numbers) - len(found),
            }
        )
    sign = -1 if most else 1
    rows.sort(key=lambda row: (row["mean"] is None, sign * (row["mean"] or 0)))
    best = None
    if split == "val" and rows[0]["mean"] is not None:
        known = [n for n in rows[0]["runs"] if results[n - 1].get(metric) is not None]
        best = min(known, key=lambda n: sign * results[n - 1][metric])
    return {"metric": metric, "split": split, "names": [plan.names[i] for i in kept], "rows": rows, "best": best}
