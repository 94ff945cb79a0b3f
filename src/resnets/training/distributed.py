"""One process among several that train together (torchrun starts them; alone, there is one).

Every collective has a time limit. Where one fails, the others find out which rank is gone (`Ranks.missing`) and leave.
On CUDA, gradients and statistics go through NCCL, which the host does not wait for; what hosts exchange goes through
gloo, which notices a rank that is gone at once.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from resnets.core.errors import TrainingError, UsageError

LIMIT = 45.0  # seconds
MAX_LIMIT = 86_400
_BEAT_SECONDS = 1.0
_SILENT_SECONDS = 5.0
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Ranks:
    """This process's place.

    Args:
        rank: its number.
        world: how many there are.
        hosts: the process group for what is exchanged between hosts (gloo); None is the one for all else.
    """

    rank: int = 0
    world: int = 1
    store: Any = None
    hosts: Any = None

    @property
    def is_main(self) -> bool:
        """Whether this is the rank that writes files and talks."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """This rank's part of `count` things: consecutive, sizes differing by one at most."""
        return range(self.rank * count // self.world, (self.rank + 1) * count // self.world)

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, in their order, on every rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        with self.collective_errors():
            dist.all_gather_object(values, value, group=self.hosts)
        return values

    def sum(self, values: Tensor) -> Tensor:
        """The sum of `values` over all ranks, in place."""
        if self.world > 1:
            with self.collective_errors():
                dist.all_reduce(values)
        return values

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """`network` with gradients summed over ranks (torch's DDP, which sends them while the rest is computed)."""
        if self.world == 1:
            return network
        ids = [device] if device.type == "cuda" else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of a name that torch 2.11 does not have yet
            return nn.parallel.DistributedDataParallel(network, device_ids=ids, broadcast_buffers=False)

    def subgroup(self, count: int) -> dist.ProcessGroup:
        """The `count` consecutive ranks to which this one belongs."""
        with self.collective_errors():  # every rank takes part in making every group
            groups = [dist.new_group(range(first, first + count)) for first in range(0, self.world, count)]
        own = groups[self.rank // count]
        assert isinstance(own, dist.ProcessGroup)
        return own

    @contextlib.contextmanager
    def collective_errors(self) -> Iterator[None]:
        """Turns the failure of a collective into an error that names the ranks that are gone.

        Raises:
            TrainingError: a collective failed within.
        """
        try:
            yield
        except RuntimeError as error:
            if self.world == 1 or not _is_of_collective(error):
                raise
            reason = re.sub(r"^\[[^\]]*\] ", "", str(error).splitlines()[0]).partition(". ")[0]
            raise self._failure(self.dead_ranks(), reason) from error

    def barrier(self) -> None:
        """Waits until every rank is here, however long it takes, as long as all live.

        Raises:
            TrainingError: one is gone.
        """
        if self.world == 1:
            return
        here = f"here/{self.store.add(f'meetings/{self.rank}', 1)}"
        self.store.add(here, 1)
        looked = time.monotonic()
        while self.store.add(here, 0) < self.world:
            if time.monotonic() - looked > _SILENT_SECONDS:
                if missing := self.dead_ranks():
                    raise self._failure(missing, "it stopped before the others")
                looked = time.monotonic()
            time.sleep(_POLL_SECONDS)

    def ask_to_stop(self) -> None:
        """Lets the other ranks know that this one was asked to stop; see `is_asked_to_stop`."""
        if self.store is not None:
            with contextlib.suppress(RuntimeError):  # the store went with its host, rank 0
                self.store.set("stop", "1")

    def is_asked_to_stop(self) -> bool:
        """Whether any rank was asked to stop. Waits for no one."""
        if self.store is None:
            return False
        try:
            return bool(self.store.check(["stop"]))
        except RuntimeError:
            return False

    def _failure(self, missing: list[int], reason: str) -> TrainingError:
        who = f"Rank {', '.join(map(str, missing))} of {self.world} is gone" if missing else "A collective failed"
        return TrainingError(f"{who} ({reason}). The last checkpoint is whole: go on with resnets resume.")

    def dead_ranks(self) -> list[int]:
        """Ranks whose heart has stopped beating."""
        if self.store is None:
            return []
        deadline = time.monotonic() + _SILENT_SECONDS + 2 * _BEAT_SECONDS
        seen: dict[int, bytes] = {}
        alive: set[int] = {self.rank}
        while time.monotonic() < deadline and len(alive) < self.world:
            for rank in set(range(self.world)) - alive:
                try:
                    beat = self.store.get(f"beat/{rank}") if self.store.check([f"beat/{rank}"]) else b""
                except RuntimeError:  # the store went with its host, rank 0
                    return [0]
                if seen.setdefault(rank, beat) != beat:
                    alive.add(rank)
            time.sleep(_BEAT_SECONDS / 2)
        return sorted(set(range(self.world)) - alive)


def _is_of_collective(error: RuntimeError) -> bool:
    text = str(error).lower()
    signs = ("gloo", "nccl", "connection", "timed out", "timeout", "peer", "process group", "socket", "broken pipe")
    return isinstance(error, dist.DistError) or any(sign in text for sign in signs)


@contextlib.contextmanager
def process_group(device: str, timeout: float = LIMIT) -> Iterator[tuple[Ranks, str]]:
    """The ranks that torchrun started, for as long as the context lasts, and this rank's device.

    Args:
        device: as the user named it; several ranks compute on CUDA or the CPU.
        timeout: seconds after which an exchange that some rank takes no part in has failed.

    Raises:
        UsageError: fewer devices than ranks, or a timeout out of range.
        TrainingError: the others do not come.
    """
    if not 1 <= timeout <= MAX_LIMIT:
        raise UsageError(f"rank_timeout takes 1 to {MAX_LIMIT:,} seconds, not {timeout:g}.")
    limit = timedelta(seconds=timeout)
    world = world_size()
    if world == 1:
        yield Ranks(), device
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if cuda:
        if local >= torch.cuda.device_count():
            raise UsageError(f"{local + 1} ranks on a machine with {torch.cuda.device_count()} CUDA devices.")
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    elif device in ("auto", "cpu"):
        device = "cpu"
    else:
        raise UsageError(
            f"Several ranks exchange gradients on CUDA or the CPU, not on {device}: choose device cpu, or train in one "
            "process."
        )
    try:
        store, rank, world = next(rendezvous("env://", timeout=limit))
        store = _fresh(store, rank, world, limit)
        dist.init_process_group("nccl" if cuda else "gloo", store=store, rank=rank, world_size=world, timeout=limit)
        hosts = dist.new_group(backend="gloo", timeout=limit) if cuda else None
    except RuntimeError as error:
        raise TrainingError(f"The {world} ranks did not meet: {str(error).splitlines()[0]}.") from error
    ranks = Ranks(rank, world, store, hosts)
    stop = threading.Event()
    beating = threading.Thread(target=_beat, args=(store.clone(), rank, stop), daemon=True)
    beating.start()
    try:
        yield ranks, device
    finally:
        stop.set()
        beating.join(_SILENT_SECONDS)  # inside a store at exit, it would abort the process
        # Tearing down waits for the others, who may be gone.
        if threading.current_thread() is threading.main_thread():
            with contextlib.suppress(Exception):
                dist.destroy_process_group()


def _fresh(store: Any, rank: int, world: int, limit: timedelta) -> Any:
    """A part of `store` that these ranks alone know.

    torchrun's agent keeps its store when it starts the ranks anew, with the addresses of those that are gone. Each
    rank draws a number that no rank ever had; rank 0 names the part by its own and tells it to every number.
    """
    mine = store.add("arrivals", 1)
    if rank == 0:
        told, deadline = 0, time.monotonic() + limit.total_seconds()
        while store.add(f"met/{mine}", 0) < world - 1:
            arrived = store.add("arrivals", 0)
            for number in range(told + 1, arrived + 1):
                store.set(f"part/{number}", str(mine))
            told = arrived
            if time.monotonic() > deadline:
                raise dist.DistStoreError(f"only {store.add(f'met/{mine}', 0) + 1} came in {limit.total_seconds():g} s")
            time.sleep(_POLL_SECONDS)
        part = mine
    else:
        part = int(store.get(f"part/{mine}"))
        store.add(f"met/{part}", 1)
    return dist.distributed_c10d.PrefixStore(f"part/{part}", store)


def world_size() -> int:
    """How many ranks torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process is the rank that writes files and talks."""
    return world_size() == 1 or os.environ.get("RANK", "0") == "0"


def restarts() -> int:
    """How often torchrun has started these ranks anew."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def _beat(store: Any, rank: int, stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        with contextlib.suppress(RuntimeError):
            store.set(f"beat/{rank}", str(number))
        number += 1
        stop.wait(_BEAT_SECONDS)
