"""The progress of a run on a terminal: a line for each evaluation, and a bar below them."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TextIO, cast

from resnets.core.console import printable
from resnets.training.events import Event
from resnets.training.progress_lines import (
    ending_line,
    evaluation_line,
    greeting,
    headline_of,
    noun_of,
    probe_line,
    short_evaluation_line,
    soup_line,
)

WIDE = 70  # columns from which on the bar has the speed


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
    """A line for each evaluation and, below all lines, a bar with loss, samples per second and time left.

    Nothing is shown of what is not yet known. On a narrow terminal the lines are shorter, and the bar has no speed.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._terminal = _Terminal(stream)
        self._headline, self._noun = headline_of({}), noun_of({})
        self._speed = math.nan
        self._console = Console(file=cast("TextIO", self._terminal))
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]:.1f}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:3.0f}%"),
            TextColumn("{task.fields[known]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self._console,
            expand=True,
            transient=False,
        )
        self._task = self._progress.add_task("", total=None, start=False, visible=False, epoch=0.0, known="")

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
                self._print(*"\n".join(greeting(event)).split("\n"))
                self._headline, self._noun, self._speed = headline_of(event), noun_of(event), math.nan
                self._progress.update(self._task, total=event["steps"], completed=0, visible=True, epoch=0.0, known="")
                self._progress.start_task(self._task)
            case "plan":
                self._progress.update(self._task, total=event["total"])
            case "probe" if event.get("recognized"):
                self._print(probe_line(event))
            case "step":
                self._speed = event["images_per_second"]
                self._progress.update(
                    self._task, completed=event["step"], epoch=event["epoch"], known=self._known(event["loss"])
                )
            case "evaluation":
                line = evaluation_line(event, self._speed, self._headline, self._noun)
                fits = len(line) <= self._console.width
                self._print(line if fits else short_evaluation_line(event, self._headline))
            case "soup":
                self._print(soup_line(event))
            case "end" if ending := ending_line(event):
                self._print(ending)

    def _known(self, loss: float | None) -> str:
        """What the bar says besides how far the run is."""
        said = [] if loss is None else [f"loss {loss:.4f}"]
        if self._console.width >= WIDE:
            said.append(f"{self._speed:,.0f} {self._noun}s/s")
        return " ".join(said)

    def _print(self, *lines: str) -> None:
        """Prints lines above the bar."""
        for line in lines:
            self._console.print(printable(line), markup=False, highlight=False, emoji=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
