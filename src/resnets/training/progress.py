"""The progress of a run: a live bar on a terminal, a bounded number of plain lines elsewhere."""

from __future__ import annotations

import contextlib
import io
import math
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TextIO, cast

from resnets.core.console import printable, progress_notebook, progress_terminal, say
from resnets.core.progress import INTERVAL, show_in_notebook
from resnets.core.units import show_count
from resnets.tasks.base import Metric
from resnets.tasks.catalog import SETTINGS, find
from resnets.training.events import Event, Subscriber

PLAIN_LINES = 12


def watch(stream: TextIO | None = None) -> Plain | Live:
    """Returns a subscriber that is also a context manager and prints to `stream` (by default standard output).

    Called with an event, it raises what the stream raises; entered and left, it does not. If the process was started
    without the stream (Python then has None), nothing is printed.
    """
    stream = stream or sys.stdout
    if stream is None:
        return Plain(io.StringIO())
    return Live(stream) if stream.isatty() else Plain(stream)


@contextlib.contextmanager
def watch_from_python(wanted: bool = True) -> Iterator[tuple[Subscriber, ...]]:
    """Context manager that gives the subscriber which shows a run that is started from Python, or none.

    In a notebook it is `Notebook`, on a terminal `Live`; elsewhere, such as in tests and logs, there is none.

    Args:
        wanted: False where another process shows the run.
    """
    notebook, terminal = progress_notebook(), progress_terminal()
    if not wanted or (notebook is None and terminal is None):
        yield ()
        return
    shown = Notebook(notebook) if notebook is not None else Live(cast(TextIO, terminal))
    with shown as subscriber:
        yield (subscriber,)


def greeting(event: Event) -> list[str]:
    """Returns the lines that a run begins with, of its start event."""
    environment = event["environment"]
    evaluated = f"in {event['split']}" if "split" in event else "to evaluate on"  # version 0.1.0 does not say
    where = f"{environment['device']} ({environment['hardware']}), {show_count(environment['threads'], 'thread')}"
    return [
        f"{event['recipe']}: {event['parameters']:,} parameters, "
        f"{show_count(event['train_samples'], noun_of(event))} to train on, {event['test_samples']:,} "
        f"{evaluated}; {show_count(event['steps'], 'step')} "
        f"({event['epochs']:.4g} {'epoch' if event['epochs'] == 1 else 'epochs'})",
        f"on {where}, {environment['precision']}, {environment['layout']}, eager",
        *([event["data"]] if "data" in event else []),  # version 0.2 does not say
        *(f"Note: {note}" for note in event["notes"]),
    ]


def headline_of(start: Event) -> Metric:
    """Returns the metric that says most about a run, of its start event; versions 0.1 and 0.2 do not name the task."""
    return find(start.get("task", SETTINGS[0].name)).metrics[0]


def noun_of(start: Event) -> str:
    """Returns what a sample of a run is called, such as "image", of its start event."""
    return str(start.get("noun", "image"))


def ending_line(event: Event) -> str | None:
    """Returns an end event in one line where the run ended before its plan, else None."""
    return f"stopped after step {event['step']:,}: {event['reason']}" if "reason" in event else None


def evaluation_line(event: Event, samples_per_second: float, headline: Metric, noun: str) -> str:
    """Returns an evaluation event in one line."""
    split = event.get("split", "test")
    value = headline.show(event.get(headline.name))
    loss = "-" if event["loss"] is None else f"{event['loss']:.4f}"  # no pixel counts, such as where all are void
    return (
        f"epoch {event['epoch']:6.1f}  step {event['step']:7,}  {split} {headline.name} {value:>7}  "
        f"{split} loss {loss}  {samples_per_second:,.0f} {noun}s/s"
    )


def soup_line(event: Event) -> str:
    """The line of a soup, such as "The model is the average of the weights after steps 20 and 40, of 3 tried"."""
    *first, last = map(str, sorted(event["kept"]))
    if not first:
        return f"The model is that of step {last}: no average of the best {event['tried']} was as good on val."
    steps = f"{', '.join(first)} and {last}"
    return f"The model is the average of the weights after steps {steps}, of {event['tried']} tried."


class Plain(AbstractContextManager["Plain"]):
    """Prints at most `PLAIN_LINES` evaluations, evenly spaced over the run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._total = 1
        self._printed = 0
        self._speed = math.nan
        self._headline = headline_of({})
        self._noun = noun_of({})

    def __call__(self, event: Event) -> None:
        match event["event"]:
            case "start":
                self._total = event["steps"]
                self._printed = 0  # of several folds, each begins anew
                self._headline, self._noun = headline_of(event), noun_of(event)
                self._print(*greeting(event))
            case "plan":
                self._total = event["total"]
            case "step":
                self._speed = event["images_per_second"]
            case "evaluation":
                due = math.floor(event["step"] / self._total * PLAIN_LINES)
                if due > self._printed:
                    self._printed = due
                    self._print(evaluation_line(event, self._speed, self._headline, self._noun))
            case "soup":
                self._print(soup_line(event))
            case "end" if line := ending_line(event):
                self._print(line)

    def _print(self, *lines: str) -> None:
        say(*lines, stream=self._stream)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class _Terminal:
    """A stream that keeps the first error of writing to it, which may occur in rich's own thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | ValueError | None = None

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text) if self.error is None else len(text)
        except (OSError, ValueError) as error:  # ValueError: the stream is closed, or cannot encode the text
            self.error = error
            return len(text)

    def flush(self) -> None:
        try:
            if self.error is None:
                self._stream.flush()
        except (OSError, ValueError) as error:
            self.error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Live(AbstractContextManager["Live"]):
    """A progress bar with loss, the task's first metric, samples per second and time left."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._terminal = _Terminal(stream)
        self._headline = headline_of({})
        self._console = Console(file=cast("TextIO", self._terminal))
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]:.1f}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:3.0f}%"),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TextColumn("{task.fields[split]} {task.fields[headline]}"),
            TextColumn("{task.fields[speed]:,.0f} {task.fields[noun]}s/s"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self._console,
            expand=True,
            transient=False,
        )
        self._task = self._progress.add_task("", total=None, start=False, visible=False, epoch=0.0, loss=math.nan,
                                             split="test", headline="-", speed=0.0, noun=noun_of({}))  # fmt: skip

    def __enter__(self) -> Live:
        self._progress.start()
        return self

    def __call__(self, event: Event) -> None:
        self._show(event)
        if self._terminal.error is not None:
            raise self._terminal.error

    def _show(self, event: Event) -> None:
        match event["event"]:
            case "start":
                for line in "\n".join(greeting(event)).split("\n"):
                    self._console.print(printable(line), markup=False, highlight=False, emoji=False)
                split = event.get("split", "evaluation")
                self._headline, noun = headline_of(event), noun_of(event)
                self._progress.update(
                    self._task, total=event["steps"], completed=0, visible=True, split=split, noun=noun
                )
                self._progress.start_task(self._task)
            case "plan":
                self._progress.update(self._task, total=event["total"])
            case "step":
                self._progress.update(
                    self._task, completed=event["step"], epoch=event["epoch"], loss=event["loss"],
                    speed=event["images_per_second"],
                )  # fmt: skip
            case "evaluation":
                split = event.get("split", "test")
                self._progress.update(
                    self._task, split=split, headline=self._headline.show(event.get(self._headline.name))
                )
            case "soup":
                self._console.print(soup_line(event), markup=False, highlight=False, emoji=False)
            case "end" if ending := ending_line(event):
                self._console.print(ending, markup=False, highlight=False, emoji=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


class Notebook(AbstractContextManager["Notebook"]):
    """The greeting, the last evaluations and a bar, in one output of the cell, which is written over.

    Args:
        display: IPython's module of that name.
    """

    def __init__(self, display: Any) -> None:
        self._display = display
        self._handle: Any = None
        self._due = -math.inf
        self._total = 1
        self._greeting: list[str] = []
        self._evaluations: list[str] = []
        self._step: Event = {}
        self._headline = headline_of({})
        self._noun = noun_of({})

    def __call__(self, event: Event) -> None:
        match event["event"]:
            case "start":
                self._total = max(1, event["steps"])
                self._headline, self._noun = headline_of(event), noun_of(event)
                self._greeting = greeting(event)
                self._show()
            case "plan":
                self._total = event["total"]
            case "step":
                self._step = event
                if time.monotonic() >= self._due:
                    self._show()
            case "evaluation":
                speed = self._step.get("images_per_second", math.nan)
                self._evaluations.append(evaluation_line(event, speed, self._headline, self._noun))
                self._show()
            case "end" if line := ending_line(event):
                self._evaluations.append(line)

    def _show(self) -> None:
        self._due = time.monotonic() + INTERVAL
        lines = [*self._greeting, *self._evaluations[-PLAIN_LINES:]]
        if self._step:
            done = self._step["step"] / self._total
            lines.append(f"{'█' * round(30 * done):░<30} {done:4.0%}  epoch {self._step['epoch']:.1f}")
            if isinstance(loss := self._step.get("loss"), float):
                lines[-1] += f"  loss {loss:.4f}"
        text = "\n".join(printable(line) for each in lines for line in each.split("\n"))
        self._handle = show_in_notebook(self._display, self._handle, text)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._greeting:
            self._show()
