"""Heartbeats: how ranks notice that one of them is dead.

Every rank writes a number that rises into the store that all share, once a second, from a thread of its own.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

SILENT_SECONDS = 5.0  # of no heartbeat, after which a rank counts as dead
_INTERVAL_SECONDS = 1.0


@contextlib.contextmanager
def heartbeat(store: Any, rank: int) -> Iterator[None]:
    """Context manager in which a thread sends the heartbeat of `rank`.

    Args:
        store: a connection of its own to the store that all ranks share.
    """
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(store, rank, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(SILENT_SECONDS)  # a thread inside a store at exit would abort the process


def dead_ranks(store: Any, rank: int, world: int) -> list[int]:
    """Returns the ranks that send no heartbeat; takes up to 7 seconds to find out."""
    deadline = time.monotonic() + SILENT_SECONDS + 2 * _INTERVAL_SECONDS
    first_seen: dict[int, bytes] = {}
    alive: set[int] = {rank}
    while time.monotonic() < deadline and len(alive) < world:
        for other in set(range(world)) - alive:
            try:
                number = store.get(_key(other)) if store.check([_key(other)]) else b""
            except RuntimeError:  # the store went with its host, rank 0
                return [0]
            if first_seen.setdefault(other, number) != number:
                alive.add(other)
        time.sleep(_INTERVAL_SECONDS / 2)
    return sorted(set(range(world)) - alive)


def _beat(store: Any, rank: int, stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        with contextlib.suppress(RuntimeError):
            store.set(_key(rank), str(number))
        number += 1
        stop.wait(_INTERVAL_SECONDS)


def _key(rank: int) -> str:
    return f"heartbeat/{rank}"
