"""What a module of `resnets.commands` gives the command line."""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TextIO, TypeVar

from resnets.core.console import quiet
from resnets.core.signatures import arguments

P = ParamSpec("P")
R = TypeVar("R")


def can_be_quiet(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator, below `@checked_arguments`, of a function that takes `quiet`: with it, neither progress nor notes."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with quiet() if kwargs.get("quiet") else contextlib.nullcontext():
            return function(*args, **kwargs)

    return call


@dataclass(frozen=True)
class Answer:
    """The result of a command.

    Args:
        lines: printed for a person.
        data: printed with `--json`. None prints nothing: of several ranks, only rank 0 answers.
        notes: printed before the lines; with `--json` to standard error, with `--quiet` not at all.
        failed: whether some inputs failed, so that the exit code is 1.
    """

    lines: Sequence[str] = ()
    data: Mapping[str, Any] | None = None
    notes: Sequence[str] = ()
    failed: bool = False


@dataclass(frozen=True)
class Invocation:
    """A call of a command.

    Args:
        function: the command's public function.
        arguments: as parsed; besides the function's parameters, `json` and `quiet`.
    """

    function: Callable[..., Any]
    arguments: argparse.Namespace

    def call(self, **python_only: Any) -> Any:
        """Calls the function with the arguments of the command line and with `python_only`."""
        positional, named = arguments(self.function, self.arguments)
        return self.function(*positional, **named, **python_only)

    @property
    def progress_stream(self) -> TextIO | None:
        """Where to show progress: standard output, with `--json` standard error, with `--quiet` nowhere."""
        if self.arguments.quiet:
            return None
        return sys.stderr if self.arguments.json else sys.stdout


@dataclass(frozen=True)
class Command:
    """A command.

    Args:
        function: its positional parameters are the arguments, its keyword parameters the flags, its docstring the help.
        answer: calls the function and shows the result.
        python_only: parameters that can be given in Python only.
    """

    function: Callable[..., Any]
    answer: Callable[[Invocation], Answer]
    python_only: tuple[str, ...] = ()
