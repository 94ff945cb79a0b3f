"""What `train` and `resume` share: the finished run, how it is shown, and TensorBoard."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.commands.command import Answer, Invocation
from resnets.core.console import note
from resnets.core.errors import UsageError
from resnets.core.units import show_count
from resnets.tasks.catalog import find

if TYPE_CHECKING:
    from resnets.evaluation.scoring import Scores
    from resnets.training.events import Subscriber
    from resnets.training.run_folder import RunFolder


@dataclass(frozen=True)
class Run:
    """A finished training run.

    Args:
        folder: holds recipe.json, log.jsonl, model.safetensors and report.html.
        metrics: of the model on the split that `metrics["split"]` names: val where the data has one, else test. The
            keys are those of `evaluate --json`; accuracies are fractions of 1. Where the data has val and test,
            `metrics["test"]` has the same of test, scored once at the end.
        was_finished: whether `resume` found that there was nothing left to do.
        noun: what a sample is called, such as "image".
    """

    folder: Path
    metrics: dict[str, Any]
    was_finished: bool = False
    noun: str = "image"

    @property
    def model(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"


def finished_run(folder: RunFolder, scores: Scores) -> Run:
    """Returns the run in `folder`, which ended with `scores`."""
    from resnets.training.plan import read_plan

    plan = read_plan(folder.recipe)
    metrics = {"task": scores.task, "data": plan.data, **scores.summary()}
    return Run(folder.path, metrics, noun=plan.recipe.preprocessing.noun)


def answer(invocation: Invocation) -> Answer:
    """Trains, with progress on `invocation.progress_stream`, and returns the metrics and the paths of the run."""
    from resnets.training.distributed import is_main
    from resnets.training.progress import watch

    stream = invocation.progress_stream
    if not is_main():  # of several ranks, rank 0 prints
        invocation.call()
        return Answer()
    with contextlib.ExitStack() as stack:
        subscribers = () if stream is None else (stack.enter_context(watch(stream)),)
        run: Run = invocation.call(subscribers=subscribers)
    lines = ["The run was finished already; nothing was done."] if run.was_finished else []
    lines += [_line(each, run) for each in (run.metrics, run.metrics.get("test")) if each]
    lines += [f"model   {run.model}", f"report  {run.report}"]
    return Answer(lines, {"folder": run.folder, "model": run.model, "report": run.report, **run.metrics})


def _line(metrics: Mapping[str, Any], run: Run) -> str:
    """Returns the first metric of the run's task, of one split."""
    headline = find(run.metrics["task"]).metrics[0]
    name = " ".join(filter(None, [metrics.get("split"), headline.name]))  # version 0.1.0 does not say the split
    value = headline.show(metrics.get(headline.name))
    return f"{name} {value} {'of' if headline.percent else 'on'} {show_count(metrics['samples'], run.noun)}"


@contextlib.contextmanager
def tensorboard_subscriber(folder: RunFolder, wanted: bool, *, required: bool) -> Iterator[tuple[Subscriber, ...]]:
    """Context manager that gives the subscriber which writes TensorBoard events, or none where it is not `wanted`.

    Args:
        required: whether to raise UsageError if TensorBoard is not installed; otherwise a note is printed.
    """
    with contextlib.ExitStack() as stack:
        subscribers: tuple[Subscriber, ...] = ()
        if wanted:
            from resnets.training.tensorboard import TensorBoardSubscriber

            try:
                writer = TensorBoardSubscriber(folder.path / "tensorboard")
                subscribers = (stack.enter_context(contextlib.closing(writer)),)
            except UsageError as error:
                if required:
                    raise
                note(f"{error} The run goes on without it.")
        yield subscribers
