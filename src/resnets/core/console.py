"""What people read on a terminal: text that cannot crash it, steer it or show another order than it has.

Names of files and classes come from anywhere. Whatever prints one prints it through `printable`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

_JOINERS = "\u200c\u200d"  # without which Persian, Hindi and some emoji are spelt wrong
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
_quiet = False
_progress = True


def tolerate_any_text() -> None:
    """Sets standard output and error to write what their encoding lacks as backslash escapes, in place of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def printable(text: str) -> str:
    r"""`text` with backslash escapes for what a terminal obeys or hides.

    These are control characters (such as ESC, which begins a terminal's commands, and line breaks), marks of the
    direction of writing and other invisible format characters, and bytes of names that are not UTF-8 (`\udcff` is the
    byte 0xff).
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if unicodedata.category(c) in _UNPRINTABLE and c not in _JOINERS else c for c in text)


def say(*texts: str, stream: TextIO | None = None) -> None:
    """Prints `texts` to `stream` (by default standard output), one below the other, each line as `printable` has it.

    Line breaks stay: a name alone, which may hold one, goes through `printable` before it becomes part of a text.
    """
    for text in texts:
        print(*map(printable, text.split("\n")), sep="\n", file=stream or sys.stdout, flush=True)


def note(*texts: str) -> None:
    """Prints each of `texts` to standard error as "Note: TEXT"; within `quiet`, prints nothing."""
    if not _quiet:
        say(*(f"Note: {text}" for text in texts), stream=sys.stderr)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Context manager in which `note` and Python's warnings print nothing, in any thread of the process."""
    global _quiet
    before = _quiet
    _quiet = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _quiet = before


def own_progress() -> contextlib.AbstractContextManager[None]:
    """Context manager in which the caller shows progress itself, so that nothing else does."""
    return _progress_set(False)


def common_progress() -> contextlib.AbstractContextManager[None]:
    """Context manager, within `own_progress`, in which progress is shown as Python's calls show it."""
    return _progress_set(True)


@contextlib.contextmanager
def _progress_set(shown: bool) -> Iterator[None]:
    global _progress
    before = _progress
    _progress = shown
    try:
        yield
    finally:
        _progress = before


def progress_terminal() -> TextIO | None:
    """The terminal on which Python's calls show progress; None where there is none, or nobody wants to see it.

    Standard error goes first, so that standard output has the caller's own text alone.
    """
    if _quiet or not _progress:
        return None
    return next((stream for stream in (sys.stderr, sys.stdout) if stream is not None and stream.isatty()), None)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, each column as wide as its longest text."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def progress_notebook() -> Any:
    """IPython's `display` module, where Python's calls show progress in a notebook; None elsewhere, as above.

    In a notebook the shell has a kernel; in a terminal IPython's has none.
    """
    ipython = sys.modules.get("IPython")
    if ipython is None or _quiet or not _progress:
        return None
    return importlib.import_module("IPython.display") if hasattr(ipython.get_ipython(), "kernel") else None


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
