"""Runs work on threads, one part ahead of its consumer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def prefetch(pool: ThreadPoolExecutor, work: Callable[[T], R], parts: Iterable[Iterable[T]]) -> Iterator[list[R]]:
    """The results of `work` on all of each part, in order; while the caller uses a part, `pool` computes the next.

    Raises:
        Exception: what `work` raised, when its part is due; pending work is then cancelled.
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
