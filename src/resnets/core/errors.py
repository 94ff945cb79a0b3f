"""One family of exceptions. Each message says what is wrong, where, and what to do about it.

The command line prints the message alone and exits with `exit_code`: 2 where the command was used wrongly,
1 where a well-formed command failed.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class ResnetsError(Exception):
    """Anything that `resnets` refuses or cannot do."""

    exit_code = 1


class UsageError(ResnetsError):
    """A name, option or value that cannot be meant."""

    exit_code = 2


class DataError(ResnetsError):
    """A dataset or image that is missing, damaged or contradicts itself."""


class PredictionError(DataError):
    """Some inputs could not be read. The others were answered.

    Attributes:
        predictions: the answer for each input, in their order; None for one that could not be read.
        failed: what was wrong, by the input's number from 0.
    """

    def __init__(self, predictions: Sequence[Any], failed: Mapping[int, DataError]) -> None:
        listed = "\n  ".join(str(error) for error in list(failed.values())[:5])
        count = f"{len(failed)} of {len(predictions)} inputs cannot be read:\n  {listed}"
        super().__init__(listed if len(predictions) == 1 else count)
        self.predictions = predictions
        self.failed = failed

    def __reduce__(self) -> tuple[type[PredictionError], tuple[Sequence[Any], Mapping[int, DataError]]]:
        return type(self), (self.predictions, self.failed)


class FileError(ResnetsError):
    """A file that cannot be read or written: missing, full disk, damaged, of another kind."""


class TrainingError(ResnetsError):
    """A run that cannot go on."""


class InterruptedRunError(ResnetsError):
    """A run that was asked to stop, and did.

    Args:
        number: of the signal.
    """

    # A default, so that it can be pickled, as what ends a process for its parent is; `exit_code` goes along.
    def __init__(self, message: str, number: int = signal.SIGTERM) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


def lookup(table: Mapping[str, T], name: str, kind: str) -> T:
    """What `table` has under `name`; raises as `unknown` says."""
    if name not in table:
        raise unknown(kind, name, table)
    return table[name]


def not_installed(what: str, extra: str) -> UsageError:
    """The error for a package that an extra of this project would bring."""
    return UsageError(
        f"{what}, which is not installed. In a clone: pip install -e '.[{extra}]', or begin the command with "
        f"uv run --extra {extra}."
    )


def unknown(kind: str, name: str, choices: Iterable[str]) -> UsageError:
    """The error for a name that is none of `choices`: it names the nearest one, or all where they are few.

    Args:
        kind: what the name stands for, as a reader would say it ("model", "setting of optimizer").
    """
    known = list(choices)
    near = nearest(name, known)
    if near:
        advice = f"did you mean {' or '.join(near)}?"
    elif len(known) <= 12:
        advice = f"choose from {', '.join(known)}."
    else:
        advice = f"there are {len(known)}, such as {', '.join(known[:6])}."
    return UsageError(f"No {kind} is called {name!r}: {advice}")


def nearest(name: str, choices: Iterable[str]) -> list[str]:
    """The `choices` that `name` may be a misspelling of, the nearest first, at most three; case does not count."""
    if len(name) > 100:  # no misspelling, and slow to compare
        return []
    by_lowered = {choice.lower(): choice for choice in choices}
    return [by_lowered[near] for near in difflib.get_close_matches(name.lower(), by_lowered, n=3, cutoff=0.5)]
