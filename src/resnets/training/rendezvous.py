"""How ranks that torchrun started find one another."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import torch.distributed as dist

POLL_SECONDS = 0.01


def private_store(store: Any, rank: int, world: int, limit: timedelta) -> Any:
    """Returns a part of torchrun's `store` that only these processes use.

    torchrun's agent keeps its store when it restarts the ranks, with the addresses of dead ones in it. So each process
    draws a number that no process had before; rank 0 names the part by its own and writes that name under the number
    of every other.

    Raises:
        DistStoreError: some rank has not come within `limit`.
    """
    own = store.add("arrivals", 1)
    if rank == 0:
        answered, deadline = 0, time.monotonic() + limit.total_seconds()
        while store.add(f"joined/{own}", 0) < world - 1:
            arrived = store.add("arrivals", 0)
            for number in range(answered + 1, arrived + 1):
                store.set(f"part/{number}", str(own))
            answered = arrived
            if time.monotonic() > deadline:
                present = store.add(f"joined/{own}", 0) + 1
                raise dist.DistStoreError(f"only {present} came in {limit.total_seconds():g} s")
            time.sleep(POLL_SECONDS)
        part = own
    else:
        part = int(store.get(f"part/{own}"))
        store.add(f"joined/{part}", 1)
    return dist.distributed_c10d.PrefixStore(f"part/{part}", store)
