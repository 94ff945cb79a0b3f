"""Ranks in threads of one process, for what ranks say to each other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from resnets.core.errors import ResnetsError
from resnets.training.distributed import Ranks


@dataclass
class Shared:
    """What ranks in threads of one process exchange."""

    world: int
    barrier: threading.Barrier = field(init=False)
    values: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.world, timeout=20)


@dataclass(frozen=True)
class ThreadRanks(Ranks):
    shared: Any = None

    def gather(self, value: Any) -> list[Any]:
        self.shared.values[self.rank] = value
        self.shared.barrier.wait()
        everyone = [self.shared.values[rank] for rank in range(self.world)]
        self.shared.barrier.wait()
        return everyone

    def barrier(self) -> None:
        self.shared.barrier.wait()


def on_each(world: int, action: Callable[[Ranks], Any]) -> list[Any]:
    """What `action` returns or raises on each of `world` ranks."""
    shared = Shared(world)
    found: list[Any] = [None] * world

    def act(rank: int) -> None:
        try:
            found[rank] = action(ThreadRanks(rank, world, shared=shared))
        except (ResnetsError, threading.BrokenBarrierError) as error:
            found[rank] = error

    threads = [threading.Thread(target=act, args=(rank,)) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
