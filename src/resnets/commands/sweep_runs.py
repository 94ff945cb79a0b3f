"""The runs of `train --sweep`, their table and its page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.commands.training_run import Run, useful
from resnets.core.console import aligned, note, printable
from resnets.core.errors import UsageError
from resnets.core.progress import progress_line
from resnets.core.units import show_count
from resnets.tasks.catalog import find

if TYPE_CHECKING:
    from resnets.tasks.metric import Metric
    from resnets.training.sweep import SweepPlan


@dataclass(frozen=True, repr=False)
class SweepRuns(Run):
    """The finished runs of a sweep. `metrics` has the table: see `training.sweep.summary_of`. `best` is the run that is
    the best on `val`; None without `val`, which alone may choose.
    """

    best: Run | None = None

    @property
    def model(self) -> Path:
        return self._best.model

    @property
    def report(self) -> Path:
        """The page with the table."""
        return self.folder / "index.html"

    @property
    def _best(self) -> Run:
        if self.best is None:
            raise UsageError(f"No run of {self.folder} is the best: only val may choose one. Take one of its runs.")
        return self.best

    def lines(self) -> list[str]:
        found = [*aligned(table(self.metrics)), *sentences(self.metrics)]
        return [
            *map(printable, found),
            *([f"best    {self.best.folder}"] if self.best else []),
            f"page    {self.report}",
        ]

    def as_json(self) -> dict[str, Any]:
        best = None if self.best is None else self.best.folder
        return {"folder": self.folder, "page": self.report, **self.metrics, "best": best}

    def _repr_html_(self) -> str:
        return "<pre>" + "\n".join(aligned(table(self.metrics))) + "</pre>"


def sweep_runs(folder: Path, plan: SweepPlan, *, again: bool = False) -> SweepRuns:
    """Makes all runs of a sweep, or goes on with them, `plan.jobs` at a time or on a cluster; writes the table and its
    page.

    A run that cannot go on, such as one that diverges, is a failure in the table.

    Args:
        again: whether runs that had failed are tried again.

    Raises:
        TrainingError: no run has succeeded; the error has them.
    """
    from resnets.core.files import write_json
    from resnets.experiments import pools
    from resnets.training.plan import read_plan
    from resnets.training.sweep import runs_of, summary_of

    runs = runs_of(folder if plan.cluster is None else folder.absolute(), plan, again=again)
    results: list[dict[str, Any]] = [{} for _ in runs]
    with progress_line() as line:
        for number, found in pools.run(
            runs, plan.jobs, line, name="train", cluster=plan.cluster, folders=(folder,), gpu=plan.device != "cpu"
        ):
            results[number] = found
    succeeded = [run for run, found in zip(runs, results, strict=True) if "failed" not in found]
    task = read_plan(succeeded[0].path / "recipe.json").recipe.task if succeeded else plan.recipes[0].task
    metric = plan.checkpoints.monitored(task) or task.metrics[0]
    metrics = {
        "task": task.name,
        "data": plan.recipes[0].data,
        **summary_of(plan, results, metric.name, most=metric.direction == "max"),
        "runs": [
            {"run": run.number, "folder": str(run.path), "values": dict(zip(plan.names, values, strict=True)), **found}
            for run, values, found in zip(runs, plan.values, results, strict=True)
        ],
    }
    write_json(folder / "results.json", metrics)
    _write_page(folder / "index.html", metrics)
    of_each = tuple(
        Run(run.path, {"task": task.name, "data": plan.recipes[0].data, **found})
        for run, found in zip(runs, results, strict=True)
    )
    for run, found in zip(runs, results, strict=True):
        if "failed" in found:
            note(f"Run {run.number} ({run.title}) failed: {found['failed']}")
    problem = None if succeeded else "Every run of the sweep failed; the first: " + str(results[0]["failed"])
    best = None if metrics["best"] is None else of_each[metrics["best"] - 1]
    return useful(SweepRuns(folder, metrics, runs=of_each, problem=problem, best=best))


def table(metrics: Mapping[str, Any]) -> list[list[str]]:
    """The heading of a sweep's table, and a row for each combination of settings."""
    metric = _metric(metrics)
    tested = any(row["test"] is not None for row in metrics["rows"])
    name = f"{metrics['split']} {metric.name}"
    rows = [[*metrics["names"], name, *([f"test {metric.name}"] if tested else []), "runs"]]
    for row in metrics["rows"]:
        shown = "failed" if row["mean"] is None else metric.show(row["mean"])
        if row["deviation"] is not None:
            shown += f" ± {metric.show(row['deviation'])}"
        runs = ", ".join(map(str, row["runs"])) + (f" ({row['failed']} failed)" if row["failed"] else "")
        rows.append([*row["values"], shown, *([metric.show(row["test"])] if tested else []), runs])
    return rows


def sentences(metrics: Mapping[str, Any]) -> list[str]:
    """What the table says, and what it does not."""
    if metrics["best"] is None and metrics["split"] != "val":
        return [
            f"No best run is named: {metrics['split']} is for judging, not for choosing. Hold a share out as val: "
            "--val-share 0.2."
        ]
    rows = [row for row in metrics["rows"] if row["mean"] is not None]
    if len(rows) < 2 or not metrics["names"]:
        return []
    first, second = rows[:2]
    apart, spread = abs(first["mean"] - second["mean"]), max(row["deviation"] or 0.0 for row in rows[:2])
    if first["deviation"] is None:
        return ["Each row is one run: seeds alone may make such differences. Sweep seed=0,1,2 as well."]
    if apart < spread:
        return ["The first two rows differ by less than their standard deviation over seeds."]
    return []


def _metric(metrics: Mapping[str, Any]) -> Metric:
    return next(each for each in find(metrics["task"]).metrics if each.name == metrics["metric"])


def _write_page(path: Path, metrics: Mapping[str, Any]) -> None:
    from resnets.core.files import write_bytes
    from resnets.reporting.pages import render
    from resnets.tasks.sections import Headline, Items, Section, Span, Table

    heading, *rows = table(metrics)
    title = f"Sweep of {os.fspath(path.parent.name)}"
    of = f"{show_count(len(metrics['runs']), 'run')} of {', '.join(metrics['runs'][0]['values'])} on {metrics['data']}"
    sections: list[Section] = [Headline(title, (Span(of),)), Table("Results", tuple(heading), tuple(map(tuple, rows)))]
    if said := sentences(metrics):
        sections.append(Items("What this says", tuple(said)))
    failed = [f"Run {each['run']}: {each['failed']}" for each in metrics["runs"] if "failed" in each]
    if failed:
        sections.append(Items("Runs that failed", tuple(failed)))
    write_bytes(path, render("report.html", title=title, sections=sections))
