"""Those who watch a run: their failures are not the run's."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence

from resnets.training.run_folder import Event, Listener


class Observers:
    """Passes events on to listeners; what one of them raises is reported once, and training goes on.

    KeyboardInterrupt, SystemExit and the like pass through, as they are no failures.

    Args:
        report: called with a line for each listener that fails, the first time.
    """

    def __init__(self, listeners: Sequence[Listener], report: Callable[[str], None]) -> None:
        self._listeners = tuple(listeners)
        self._report = report
        self._failed: set[int] = set()

    def __call__(self, event: Event) -> None:
        for number, listener in enumerate(self._listeners):
            try:
                listener(event)
            except Exception as error:
                self._note(number, error)

    def _note(self, number: int, error: Exception) -> None:
        if number in self._failed:
            return
        self._failed.add(number)
        name = type(self._listeners[number]).__name__
        message = f"An observer of the run ({name}) failed, and training goes on: {type(error).__name__}: {error}"
        self._report(message)
        with contextlib.suppress(Exception):  # standard error may be what failed
            print(f"resnets: {message}", file=sys.stderr, flush=True)
