"""What `train` and `resume` share: the finished run, and how it is shown."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from resnets.commands.command import Answer, Invocation
from resnets.core.console import printable, say
from resnets.core.errors import TrainingError
from resnets.evaluation.display import headline, page

if TYPE_CHECKING:
    from resnets.evaluation.scoring import Scores
    from resnets.training.run_folder import RunFolder


AnyRun = TypeVar("AnyRun", bound="Run")


@dataclass(frozen=True, repr=False)
class Run:
    """A finished training run, as `train` and `resume` return it.

    It is a path, that of its folder: wherever a model file or a run folder is taken, such as by `load`, `evaluate`,
    `predict`, `describe`, `resume` and `replay`, a run can be given. A notebook shows its metrics and a link to its
    report.

    Args:
        folder: holds recipe.json, log.jsonl, model.safetensors and report.html.
        metrics: of the model on the split that `metrics["split"]` names: val where the data has one, else test. The
            keys are those of `evaluate --json`; accuracies are fractions of 1. Where the data has val and test,
            `metrics["test"]` has the same of test, scored once at the end.
        was_finished: whether `resume` found that there was nothing left to do.
        noun: what a sample is called, such as "image".
        runs: the run of each fold, with `fold="all"`; else empty.
        problem: what makes its model of no use, in words; None where nothing does. See `training.endings`.
    """

    folder: Path
    metrics: dict[str, Any]
    was_finished: bool = False
    noun: str = "image"
    runs: tuple[Run, ...] = ()
    problem: str | None = None

    @property
    def model(self) -> Path:
        """The model file."""
        return self.folder / "model.safetensors"

    @property
    def report(self) -> Path:
        """The report, a page that needs no other file."""
        return self.folder / "report.html"

    def lines(self) -> list[str]:
        """What a command prints of it."""
        lines = ["The run was finished already; nothing was done."] if self.was_finished else []
        task, both = self.metrics["task"], (self.metrics, self.metrics.get("test"))
        lines += [headline(task, each, self.noun) for each in both if each]
        return [*lines, f"model   {self.model}", f"report  {self.report}"]

    def as_json(self) -> dict[str, Any]:
        """What a command prints of it with `--json`."""
        paths = {"folder": self.folder, "model": self.model, "report": self.report}
        return {**paths, **self.metrics, **({} if self.problem is None else {"problem": self.problem})}

    def __fspath__(self) -> str:
        return os.fspath(self.folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, {headline(self.metrics.get('task', ''), self.metrics, self.noun)})"

    def _repr_html_(self) -> str:
        task, test = self.metrics.get("task", ""), self.metrics.get("test")
        title = f"Run {printable(str(self.folder))}: {headline(task, self.metrics, self.noun)}"
        of_test = page(f"test of {self.metrics.get('data')}", task, test, noun=self.noun) if test else ""
        links = {"report": self.report, "model": self.model, "log": self.folder / "log.jsonl"}
        return page(title, task, self.metrics, noun=self.noun, links=links, below=of_test)


def finished_run(folder: RunFolder, scores: Scores) -> Run:
    """Returns the run in `folder`, which ended with `scores`.

    Raises:
        TrainingError: its model is of no use; the error has the run.
    """
    from resnets.training.endings import recorded_problem
    from resnets.training.plan import read_plan

    plan = read_plan(folder.recipe)
    metrics = {"task": scores.task, "data": plan.data, **scores.summary()}
    problem = recorded_problem(folder)
    return useful(Run(folder.path, metrics, noun=plan.recipe.preprocessing.noun, problem=problem))


def useful(run: AnyRun) -> AnyRun:
    """Returns `run`. Raises TrainingError where its model is of no use; the error has the run."""
    if run.problem is not None:
        raise TrainingError(run.problem, run=run)
    return run


def answer(invocation: Invocation) -> Answer:
    """Trains, with progress on `invocation.progress_stream`, and returns the metrics and the paths of the run, also of
    one that ended with a model of no use: the command then fails."""
    from resnets.training.distributed import is_main
    from resnets.training.progress import watch

    stream = invocation.progress_stream
    if not is_main():  # of several ranks, rank 0 prints and fails: torchrun ends the others when one has failed
        _ended(invocation)
        return Answer()
    with contextlib.ExitStack() as stack:
        subscribers = () if stream is None else (stack.enter_context(watch(stream)),)
        run = _ended(invocation, subscribers=subscribers)
    if run.problem is not None:
        say(f"resnets: {run.problem}", stream=sys.stderr)
    return Answer(run.lines(), run.as_json(), failed=run.problem is not None)


def _ended(invocation: Invocation, **python_only: Any) -> Run:
    """The finished run of a command, also where its model is of no use."""
    try:
        run: Run = invocation.call(**python_only)
    except TrainingError as error:
        if not isinstance(error.run, Run):
            raise
        run = error.run
    return run
