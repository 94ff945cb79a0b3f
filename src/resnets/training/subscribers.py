"""Subscribers to the events of a run: if one fails, the run does not."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence

from resnets.training.events import Event, Subscriber


class Subscribers:
    """Passes events on to subscribers; the first exception of each is reported, and training goes on.

    KeyboardInterrupt, SystemExit and the like pass through, as they are not failures.

    Args:
        report: called with a line for each subscriber that fails, the first time.
    """

    def __init__(self, subscribers: Sequence[Subscriber], report: Callable[[str], None]) -> None:
        self._subscribers = tuple(subscribers)
        self._report = report
        self._failed: set[int] = set()

    def __call__(self, event: Event) -> None:
        for number, subscriber in enumerate(self._subscribers):
            try:
                subscriber(event)
            except Exception as error:
                self._note(number, error)

    def _note(self, number: int, error: Exception) -> None:
        if number in self._failed:
            return
        self._failed.add(number)
        name = getattr(self._subscribers[number], "title", type(self._subscribers[number]).__name__)
        message = f"A subscriber of the run ({name}) failed, and training goes on: {type(error).__name__}: {error}"
        self._report(message)
        with contextlib.suppress(Exception):  # standard error may be what failed
            print(f"resnets: {message}", file=sys.stderr, flush=True)
