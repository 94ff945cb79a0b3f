"""Batches made before they are used, so that an error in one is known steps before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from resnets.core.errors import DataError
from resnets.modalities.batch import Batch


class Lookahead:
    """Iterates over batches, and finds errors in the next ones before they are asked for.

    Args:
        depth: how many batches it makes ahead.
    """

    def __init__(self, batches: Iterator[Batch], depth: int) -> None:
        self._batches = batches
        self._depth = depth
        self._made: deque[Batch | Exception] = deque()

    def __iter__(self) -> Lookahead:
        return self

    def upcoming_error(self) -> DataError | None:
        """Makes the next batches; returns an error among them, which is raised when that batch is asked for."""
        while len(self._made) < self._depth and not (self._made and isinstance(self._made[-1], Exception)):
            try:
                self._made.append(next(self._batches))
            except (DataError, StopIteration) as error:
                self._made.append(error)
        return next((each for each in self._made if isinstance(each, DataError)), None)

    def __next__(self) -> Batch:
        if not self._made:
            self.upcoming_error()
        found = self._made.popleft()
        if isinstance(found, Exception):
            raise found
        return found
