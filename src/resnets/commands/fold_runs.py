"""The runs of `train --fold all`, and the table of their metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.commands.training_run import Run, useful
from resnets.core.console import aligned
from resnets.core.errors import UsageError
from resnets.tasks.catalog import find

if TYPE_CHECKING:
    from resnets.training.events import Subscriber
    from resnets.training.folds import FoldsPlan
    from resnets.training.run_folder import RunFolder


@dataclass(frozen=True, repr=False)
class FoldRuns(Run):
    """The finished runs of all folds. `metrics` has the mean of each metric, and `metrics["deviation"]` its standard
    deviation; `metrics["folds"]` those of each fold, on the samples of that fold.
    """

    @property
    def model(self) -> Path:
        raise UsageError(f"{self.folder} has a model for each fold: take that of one of its runs.")

    @property
    def report(self) -> Path:
        raise UsageError(f"{self.folder} has a report for each fold: take that of one of its runs.")

    def lines(self) -> list[str]:
        return [*table(self.metrics), f"folder  {self.folder}"]

    def as_json(self) -> dict[str, Any]:
        return {"folder": self.folder, **self.metrics, **({} if self.problem is None else {"problem": self.problem})}

    def _repr_html_(self) -> str:
        return "<pre>" + "\n".join(table(self.metrics)) + "</pre>"


def fold_runs(folder: Path, plan: FoldsPlan, *, rank_timeout: float, subscribers: Sequence[Subscriber]) -> FoldRuns:
    """Runs all folds, or goes on with them, also where the model of one is of no use.

    Raises:
        TrainingError: all folds have ended, and the model of one is of no use; the error has the runs.
    """
    from resnets.training.endings import recorded_problem
    from resnets.training.folds import run_folds, summary_of
    from resnets.training.progress import watch_from_python

    with contextlib.ExitStack() as stack:

        def subscribers_of(own: RunFolder) -> Sequence[Subscriber]:
            stack.pop_all().close()
            return (*subscribers, *stack.enter_context(watch_from_python(True)))

        results = list(run_folds(folder, plan, rank_timeout=rank_timeout, subscribers_of=subscribers_of))
    metrics = summary_of(results, plan)
    noun = plan.recipe.preprocessing.noun
    problems = [recorded_problem(each.folder) for each in results]
    runs = tuple(
        Run(
            each.folder.path, {"task": metrics["task"], "data": metrics["data"], **each.metrics}, noun=noun, problem=why
        )
        for each, why in zip(results, problems, strict=True)
    )
    listed = [f"Fold {run.number} of {plan.count}: {why}" for run, why in zip(results, problems, strict=True) if why]
    return useful(FoldRuns(folder, metrics, noun=noun, runs=runs, problem="\n".join(listed) or None))


def table(metrics: dict[str, Any]) -> list[str]:
    """Lines of a table: a row for each fold, then the mean and the standard deviation."""
    shown = [metric for metric in find(metrics["task"]).metrics if metric.name in metrics]
    rows = [["fold", "samples", *(metric.name for metric in shown)]]
    rows += [
        [each["fold"], f"{each['samples']:,}", *(metric.show(each[metric.name]) for metric in shown)]
        for each in metrics["folds"]
    ]
    rows.append(["mean", f"{metrics['samples']:,}", *(metric.show(metrics[metric.name]) for metric in shown)])
    rows.append(["±", "", *(metric.show(metrics["deviation"][metric.name]) for metric in shown)])
    return aligned(rows)
