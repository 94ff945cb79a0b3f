"""Where several trials run: in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from resnets.experiments import process_pool, ray_pool
from resnets.training.sweep import Cluster

T = TypeVar("T")
Log = Callable[[str], None]


def run(
    tasks: Sequence[Callable[[Log], T]],
    jobs: int,
    log: Log,
    *,
    name: str,
    cluster: Cluster | None,
    folders: Sequence[Path],
    gpu: bool,
) -> Iterator[tuple[int, T]]:
    """Yields (number of the task, its result) as tasks end; see `process_pool.run` and `ray_pool.run`."""
    if cluster == "ray":
        return ray_pool.run(tasks, jobs, log, folders=folders, gpu=gpu)
    return process_pool.run(tasks, jobs, log, name=name)
