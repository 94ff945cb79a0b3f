"""One line of progress of a call from Python, which is written over: on a terminal or in a notebook, else nowhere."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from typing import Any, TextIO

from resnets.core.console import printable, progress_notebook, progress_terminal

DELAY = 1.0  # seconds, before which nothing is shown: what is done by then needs no progress
INTERVAL = 0.25  # seconds between two texts


@contextlib.contextmanager
def progress_line(*, shown: bool = True) -> Iterator[Line]:
    """Context manager that gives what shows the latest text, where it is to be `shown`."""
    line = Line(progress_notebook(), progress_terminal()) if shown else Line(None, None)
    try:
        yield line
    finally:
        line.close()


class Line:
    """Shows the latest of many texts, at most one in `INTERVAL`, the first after `DELAY`; the last one stays. On a
    terminal, what does not fit into a line is left out.

    Args:
        notebook: IPython's `display`; None where there is no notebook.
        terminal: None where there is none; a terminal that is closed is written to no more.
    """

    def __init__(self, notebook: Any, terminal: TextIO | None) -> None:
        self._notebook = notebook
        self._terminal = None if notebook is not None else terminal
        self._handle: Any = None
        self._due = time.monotonic() + DELAY
        self._text = self._shown = ""

    @property
    def is_shown(self) -> bool:
        """Whether anybody sees it."""
        return self._notebook is not None or self._terminal is not None

    def __call__(self, text: str, *, now: bool = False) -> None:
        """Shows `text`, `now` or where no other comes first."""
        self._text = printable(text)
        if self.is_shown and (now or time.monotonic() >= self._due):
            self._show()

    def close(self) -> None:
        """Shows the last text, where one was shown before, and ends the line."""
        if self._shown:
            self._show(end="\n")

    def _show(self, end: str = "") -> None:
        self._due = time.monotonic() + INTERVAL
        if self._notebook is not None:
            if self._text != self._shown:
                self._handle = show_in_notebook(self._notebook, self._handle, self._text)
        elif self._terminal is not None:
            try:
                fits = shutil.get_terminal_size().columns - 1  # a longer text takes two lines, of which one would stay
                self._terminal.write(f"\r{self._text[:fits]}\x1b[K{end}")
                self._terminal.flush()
            except (OSError, ValueError):  # it is closed
                self._terminal = None
        self._shown = self._text


def show_in_notebook(notebook: Any, handle: Any, text: str) -> Any:
    """Shows `text` in place of what `handle` shows, or below what the cell shows where that is None; returns the
    handle."""
    content = {"text/plain": text}
    if handle is None:
        return notebook.display(content, raw=True, display_id=True)
    handle.update(content, raw=True)
    return handle
