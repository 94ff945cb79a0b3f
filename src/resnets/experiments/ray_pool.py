"""Runs several trials on a Ray cluster (the extra `cluster`): that of RAY_ADDRESS, else one on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from resnets.core.errors import FileError, TrainingError, not_installed
from resnets.core.files import explain, write_bytes
from resnets.experiments.process_pool import portable, raising_at_sigterm

T = TypeVar("T")
Log = Callable[[str], None]
RETRIES = 3  # of a task whose process or machine is gone
INTERVAL = 1.0  # seconds between two looks for lines
_NOT_STARTED = (
    "Ray cannot be started on this machine (a busy one may need a second try, or `ray start --head` and RAY_ADDRESS)"
)
SAVING = 120.0  # seconds that runs get to save their steps when they are stopped


def require() -> Any:
    """The package `ray`. Raises UsageError if it is not installed."""
    # Both are read when it is imported. Under `uv run`, Ray would make a new environment for each worker.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray
    except ImportError:
        raise not_installed("--cluster ray needs Ray", "cluster") from None
    return ray


def run(
    tasks: Sequence[Callable[[Log], T]], jobs: int, log: Log, *, folders: Sequence[Path], gpu: bool
) -> Iterator[tuple[int, T]]:
    """Yields (number of the task, its result) as tasks end, as `process_pool.run` does.

    Each task has a CPU, and a GPU where the cluster has any. Ray begins a task anew whose process was killed or whose
    machine is gone: tasks go on from what their folders hold.

    Args:
        jobs: CPUs of the cluster that is started; that of RAY_ADDRESS decides itself how many tasks it runs at a time.
        folders: that the tasks write to, which each machine has to see under the same absolute path.
        gpu: whether a task can use one.

    Raises:
        InterruptedRunError: on SIGTERM.
        FileError: a machine does not see a folder.
        TrainingError: the process of a task was killed again and again, or the cluster is out of reach.
        UsageError: Ray is not installed.
    """
    ray = require()
    with _cluster(ray, jobs), _markers(folders) as markers, raising_at_sigterm():
        lines = ray.remote(num_cpus=0, max_restarts=-1)(_Lines).remote()
        gpus = int(gpu and ray.cluster_resources().get("GPU", 0) >= 1)
        begin = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)(_work)
        waiting = {begin.remote(task, lines, markers): number for number, task in enumerate(tasks)}
        try:
            while waiting:
                ended, _ = ray.wait(list(waiting), timeout=INTERVAL)
                with contextlib.suppress(ray.exceptions.RayError):  # lines that are lost are no more than that
                    for line in ray.get(lines.take.remote()):
                        log(line)
                for each in ended:
                    error, found = ray.get(each)
                    number = waiting.pop(each)
                    if error is not None:
                        raise error
                    yield number, found
        except ray.exceptions.RayError as error:
            _stop(ray, list(waiting))
            raise TrainingError(
                f"A training process ended {RETRIES + 1} times without a result, or the cluster is out of reach; it "
                f"is often out of memory. The same command continues from here. Ray says: {error}"
            ) from None
        except BaseException:
            _stop(ray, list(waiting))
            raise


def _stop(ray: Any, tasks: list[Any]) -> None:
    """Asks the processes of `tasks` to end, as Ctrl-C does, and waits until each has saved its step."""
    with contextlib.suppress(ray.exceptions.RayError):
        for each in tasks:
            ray.cancel(each)
        if tasks:
            ray.wait(tasks, num_returns=len(tasks), timeout=SAVING)


@contextlib.contextmanager
def _cluster(ray: Any, jobs: int) -> Iterator[None]:
    """Context manager in which Ray is connected; one that is connected already stays so.

    Raises:
        TrainingError: it cannot be reached, or not be started.
    """
    with contextlib.redirect_stdout(sys.stderr):  # where Ray's own notes belong, such as that a process was killed
        if ray.is_initialized():
            yield
            return
        address = os.environ.get("RAY_ADDRESS")
        where = {"address": address} if address else {"address": "local", "num_cpus": jobs, "include_dashboard": False}
        try:
            if address:
                _try_to_reach(address)
            ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray raises many kinds, `Exception` itself among them
            why = f"The Ray cluster of RAY_ADDRESS={address} cannot be reached" if address else _NOT_STARTED
            raise TrainingError(f"{why}: {error}") from error
        try:
            yield
        finally:
            ray.shutdown()


def _try_to_reach(address: str) -> None:
    """Raises OSError if nothing answers at `address`, which Ray tries for many minutes."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


@contextlib.contextmanager
def _markers(folders: Sequence[Path]) -> Iterator[tuple[str, ...]]:
    """Context manager that gives the path of a new file in each folder, by which others know that they see it."""
    markers = [folder.absolute() / f".seen-{uuid.uuid4().hex}" for folder in folders]
    try:
        for each in markers:
            try:
                each.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise explain("make", each.parent, error) from error
            write_bytes(each, b"")
        yield tuple(map(str, markers))
    finally:
        for each in markers:
            each.unlink(missing_ok=True)


class _Lines:
    """The lines that tasks log, until they are taken: an actor, which has a process of its own."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        self._lines.append(line)

    def take(self) -> list[str]:
        taken, self._lines = self._lines, []
        return taken


def _work(task: Callable[[Log], T], lines: Any, markers: Sequence[str]) -> tuple[BaseException | None, T | None]:
    """Runs one task on a machine of the cluster; returns what it raised, and its result."""
    for each in markers:
        if not os.path.exists(each):
            return FileError(
                f"The machine {socket.gethostname()} of the Ray cluster does not see {os.path.dirname(each)}: runs are "
                "written to a folder that all machines share. Give --out a folder of a shared file system."
            ), None
    try:
        return None, task(lines.add.remote)
    except Exception as error:
        return portable(error), None
