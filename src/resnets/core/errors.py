"""The exceptions of this library. Each message says what is wrong, where, and what to do about it.

The command line prints the message alone and exits with `exit_code`: 2 for wrong use of a command, 1 for a command that
failed.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class ResnetsError(Exception):
    """The base class of all errors that `resnets` raises on purpose."""

    exit_code = 1


class UsageError(ResnetsError):
    """A name, option or value that is not valid."""

    exit_code = 2


class ArgumentError(UsageError, TypeError):
    """A call with an argument that the function does not have."""


class DataError(ResnetsError):
    """A dataset or image that is missing, damaged or inconsistent."""


class PredictionError(DataError):
    """Some inputs could not be read. There are predictions for the others.

    Attributes:
        predictions: the prediction for each input, in their order; None for one that could not be read.
        failed: the error by the index of the input.
        inputs: the name of each input, where it is known.
    """

    def __init__(self, predictions: Sequence[Any], failed: Mapping[int, DataError], inputs: Sequence[str] = ()) -> None:
        listed = "\n  ".join(str(error) for error in list(failed.values())[:5])
        count = f"{len(failed)} of {len(predictions)} inputs cannot be read:\n  {listed}"
        super().__init__(listed if len(predictions) == 1 else count)
        self.predictions = predictions
        self.failed = failed
        self.inputs = inputs

    def __reduce__(self) -> tuple[type[PredictionError], tuple[Any, ...]]:
        return type(self), (self.predictions, self.failed, self.inputs)


class FileError(ResnetsError):
    """A file that cannot be read or written: missing, full disk, damaged, of another kind."""


class TrainingError(ResnetsError):
    """A training run that cannot continue, or that ended with a model of no use.

    Attributes:
        run: the finished run, where it has ended and everything is kept; else None.
    """

    def __init__(self, *args: object, run: Any = None) -> None:
        super().__init__(*args)
        self.run = run


class InterruptedRunError(ResnetsError):
    """A training run that was stopped by a signal.

    Args:
        number: of the signal.
    """

    # `number` has a default so that the error can be pickled, as multiprocessing does; the pickle has `exit_code` too.
    def __init__(self, message: str, number: int = signal.SIGTERM) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


def lookup(table: Mapping[str, T], name: str, kind: str) -> T:
    """The value under `name` in `table`.

    Raises:
        UsageError: there is none; see `unknown`.
    """
    if name not in table:
        raise unknown(kind, name, table)
    return table[name]


def not_installed(what: str, extra: str = "", *, package: str = "") -> UsageError:
    """The error for a missing package, with the command that installs it in the environment of this process.

    Args:
        what: what needs which package, such as "Reading sound needs soundfile".
        extra: of this project, which has the package; or
        package: its name, where no extra has it.
    """
    from resnets.core.installation import install_command

    command = install_command(*([package] if package else []), extra=extra)
    return UsageError(f"{what}, which is not installed: {command}")


def unknown(kind: str, name: str, choices: Iterable[str]) -> UsageError:
    """The error for a name that is not in `choices`; the message has the most similar names, or all if they are few.

    Args:
        kind: what the name is the name of, such as "model" or "setting of optimizer".
    """
    known = list(choices)
    near = nearest(name, known)
    if near:
        advice = f"did you mean {' or '.join(near)}?"
    elif not known:
        advice = "there are none."
    elif len(known) <= 12:
        advice = f"choose from {', '.join(known)}."
    else:
        advice = f"there are {len(known)}, such as {', '.join(known[:6])}."
    return UsageError(f"No {kind} is called {name!r}: {advice}")


def nearest(name: str, choices: Iterable[str]) -> list[str]:
    """The at most three `choices` that are most similar to `name`, the most similar first; case is ignored."""
    if len(name) > 100:  # not a misspelling, and slow to compare
        return []
    by_lowered = {choice.lower(): choice for choice in choices}
    return [by_lowered[near] for near in difflib.get_close_matches(name.lower(), by_lowered, n=3, cutoff=0.5)]
