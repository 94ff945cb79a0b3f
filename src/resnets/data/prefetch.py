"""Work for threads, done one part ahead of who needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def prefetch(pool: ThreadPoolExecutor, work: Callable[[T], R], parts: Iterable[Iterable[T]]) -> Iterator[list[R]]:
    """`work` on all of each part, in order; while a part is used, `pool` is at work on the next.

    Raises:
        Exception: what `work` raised, when its part is due; what was waiting is then called off.
    """
    waiting: list[Future[R]] | None = None
    upcoming: list[Future[R]] = []
    try:
        for part in parts:
            upcoming = [pool.submit(work, each) for each in part]
            if waiting is not None:
                yield [future.result() for future in waiting]
            waiting = upcoming
        if waiting is not None:
            yield [future.result() for future in waiting]
    finally:
        for future in upcoming:
            future.cancel()
