"""The line of progress of calls from Python: on a terminal and in a notebook, and nowhere else."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from resnets.core import progress
from resnets.core.console import own_progress, progress_notebook, progress_terminal, quiet
from resnets.core.progress import Line, progress_line
from tests.notebook import Display, Terminal


def test_the_latest_text_is_shown_at_most_once_in_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    terminal, display = Terminal(), Display()
    for notebook in (None, display):
        line = Line(notebook, terminal)
        for number in range(1000):
            now[0] += 0.01
            line(f"{number}")
        line.close()
    shown = terminal.getvalue().split("\r")
    assert shown[1] == "99\x1b[K"  # after a second
    assert len(shown) - 1 == pytest.approx(9 / 0.25, abs=3)
    assert shown[-1] == "999\x1b[K\n"
    assert len(display.shown) == 1
    assert display.shown[0]["text/plain"] == "999"
    assert display.updates == pytest.approx(9 / 0.25, abs=3)


def test_what_takes_no_second_shows_nothing() -> None:
    terminal = Terminal()
    line = Line(None, terminal)
    line("predict  1 image")
    line.close()
    assert terminal.getvalue() == ""
    line("a\nb\x1b[2J", now=True)
    assert terminal.getvalue() == "\ra\\nb\\x1b[2J\x1b[K"


def test_a_text_takes_one_line_of_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    terminal = Terminal()
    Line(None, terminal)("run 1 of 4, " + 20 * "optimizer.lr=0.01 ", now=True)
    (shown,) = terminal.getvalue().removesuffix("\x1b[K").split("\r")[1:]
    assert len(shown) == 49
    assert shown.startswith("run 1 of 4, optimizer.lr=0.01")


def test_a_terminal_that_is_closed_ends_nothing() -> None:
    terminal = Terminal()
    line = Line(None, terminal)
    terminal.close()
    line("a", now=True)
    line("b", now=True)
    line.close()
    assert not line.is_shown


def test_progress_goes_to_a_terminal_error_first(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert progress_terminal() is err
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert progress_terminal() is out
    with quiet():
        assert progress_terminal() is None
    with own_progress():
        assert progress_terminal() is None
    monkeypatch.setattr(sys, "stdout", None)
    assert progress_terminal() is None


@pytest.mark.parametrize("shell", [None, SimpleNamespace()])
def test_a_terminal_of_ipython_is_no_notebook(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    assert progress_notebook() is None


def test_a_notebook_is_where_the_shell_has_a_kernel(notebook: Display) -> None:
    assert progress_notebook() is notebook
    with quiet():
        assert progress_notebook() is None
    with progress_line() as line:
        line("benchmark  training", now=True)
    assert notebook.texts() == ["benchmark  training"]
