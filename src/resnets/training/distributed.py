"""Several processes, called ranks, that train together; torchrun starts them. Without it there is one.

Every collective has a time limit. If one fails, the other ranks find out which rank is dead (`Ranks.dead_ranks`) and
raise an error that names it. On CUDA, gradients and statistics go through NCCL, which the host does not wait for; what
hosts exchange goes through gloo, which notices a dead rank at once.
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
from resnets.training import heartbeat
from resnets.training.rendezvous import POLL_SECONDS, private_store

LIMIT = 45.0  # seconds
MAX_LIMIT = 86_400


@dataclass(frozen=True)
class Ranks:
    """This process among all ranks, and what they exchange.

    Args:
        rank: the number of this process.
        world: how many ranks there are.
        store: torch's key-value store that all ranks share; None if there is one rank.
        hosts: the process group for what hosts exchange (gloo); None is the default one.
    """

    rank: int = 0
    world: int = 1
    store: Any = None
    hosts: Any = None

    @property
    def is_main(self) -> bool:
        """Whether this is the rank that writes files and logs."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """Returns this rank's part of `count` items: consecutive, with sizes that differ by one at most."""
        return range(self.rank * count // self.world, (self.rank + 1) * count // self.world)

    def gather(self, value: Any) -> list[Any]:
        """Returns the values of all ranks, in the order of ranks, on every rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        with self.collective_errors():
            dist.all_gather_object(values, value, group=self.hosts)
        return values

    def sum(self, values: Tensor) -> Tensor:
        """Sums `values` over all ranks, in place, and returns them."""
        if self.world > 1:
            with self.collective_errors():
                dist.all_reduce(values)
        return values

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Returns `network` in torch's DDP, which averages gradients over ranks while the rest is computed."""
        if self.world == 1:
            return network
        ids = [device] if device.type == "cuda" else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # about a name that torch 2.11 does not have yet
            return nn.parallel.DistributedDataParallel(network, device_ids=ids, broadcast_buffers=False)

    def subgroup(self, count: int) -> dist.ProcessGroup:
        """Returns the process group of the `count` consecutive ranks to which this one belongs."""
        with self.collective_errors():  # every rank takes part in making every group
            groups = [dist.new_group(range(first, first + count)) for first in range(0, self.world, count)]
        own = groups[self.rank // count]
        assert isinstance(own, dist.ProcessGroup)
        return own

    @contextlib.contextmanager
    def collective_errors(self) -> Iterator[None]:
        """Context manager that turns the failure of a collective into an error that names the dead ranks.

        Raises:
            TrainingError: a collective failed.
        """
        try:
            yield
        except RuntimeError as error:
            if self.world == 1 or not _is_of_collective(error):
                raise
            reason = re.sub(r"^\[[^\]]*\] ", "", str(error).splitlines()[0]).partition(". ")[0]
            raise self._failure(self.dead_ranks(), reason) from error

    def barrier(self) -> None:
        """Waits until every rank has called this, without a time limit as long as all are alive.

        Raises:
            TrainingError: a rank is dead.
        """
        if self.world == 1:
            return
        arrived = f"barrier/{self.store.add(f'barriers/{self.rank}', 1)}"
        self.store.add(arrived, 1)
        checked = time.monotonic()
        while self.store.add(arrived, 0) < self.world:
            if time.monotonic() - checked > heartbeat.SILENT_SECONDS:
                if dead := self.dead_ranks():
                    raise self._failure(dead, "it stopped before the others")
                checked = time.monotonic()
            time.sleep(POLL_SECONDS)

    def ask_to_stop(self) -> None:
        """Tells the other ranks that this one was asked to stop; they see it in `is_asked_to_stop`."""
        if self.store is not None:
            with contextlib.suppress(RuntimeError):  # the store went with its host, rank 0
                self.store.set("stop", "1")

    def is_asked_to_stop(self) -> bool:
        """Whether any rank was asked to stop. Does not wait for other ranks."""
        if self.store is None:
            return False
        try:
            return bool(self.store.check(["stop"]))
        except RuntimeError:
            return False

    def _failure(self, dead: list[int], reason: str) -> TrainingError:
        what = f"Rank {', '.join(map(str, dead))} of {self.world} is gone" if dead else "A collective failed"
        return TrainingError(f"{what} ({reason}). The last checkpoint is whole: go on with resnets resume.")

    def dead_ranks(self) -> list[int]:
        """Returns the ranks that send no heartbeat; takes up to 7 seconds to find out."""
        return [] if self.store is None else heartbeat.dead_ranks(self.store, self.rank, self.world)


def _is_of_collective(error: RuntimeError) -> bool:
    text = str(error).lower()
    signs = ("gloo", "nccl", "connection", "timed out", "timeout", "peer", "process group", "socket", "broken pipe")
    return isinstance(error, dist.DistError) or any(sign in text for sign in signs)


@contextlib.contextmanager
def process_group(device: str, timeout: float = LIMIT) -> Iterator[tuple[Ranks, str]]:
    """Context manager that connects the ranks that torchrun started; gives them, and this rank's device.

    Args:
        device: as the user named it; several ranks compute on CUDA or the CPU.
        timeout: seconds after which a collective fails in which some rank does not take part.

    Raises:
        UsageError: there are fewer devices than ranks, or the timeout is out of range.
        TrainingError: the ranks cannot connect to one another.
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
        store = private_store(store, rank, world, limit)
        dist.init_process_group("nccl" if cuda else "gloo", store=store, rank=rank, world_size=world, timeout=limit)
        hosts = dist.new_group(backend="gloo", timeout=limit) if cuda else None
    except RuntimeError as error:
        raise TrainingError(
            f"The {world} ranks cannot connect to one another: {str(error).splitlines()[0]}."
        ) from error
    ranks = Ranks(rank, world, store, hosts)
    try:
        with heartbeat.heartbeat(store.clone(), rank):
            yield ranks, device
    finally:
        # Destroying the group waits for the other ranks, which may be dead.
        if threading.current_thread() is threading.main_thread():
            with contextlib.suppress(Exception):
                dist.destroy_process_group()


def world_size() -> int:
    """Returns how many ranks torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process is the rank that writes files and logs."""
    return world_size() == 1 or os.environ.get("RANK", "0") == "0"


def restarts() -> int:
    """Returns how often torchrun has restarted these ranks."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
