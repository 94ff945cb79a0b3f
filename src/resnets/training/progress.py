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
from resnets.training.events import Event, Subscriber
from resnets.training.live_progress import Live as Live
from resnets.training.progress_lines import (
    ending_line,
    evaluation_line,
    greeting,
    headline_of,
    noun_of,
    probe_line,
    soup_line,
)

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
            case "probe" if event.get("recognized"):
                self._print(probe_line(event))
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
            case "probe" if event.get("recognized"):
                self._greeting.append(probe_line(event))
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
