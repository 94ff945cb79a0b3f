"""A lock on a run's folder, so that no two processes train in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from resnets.core.errors import UsageError
from resnets.core.files import explain
from resnets.training import agreement
from resnets.training.distributed import Ranks


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Context manager that holds the lock of a run's folder of checkpoints, which is made if it is not there.

    The system releases the lock when the process ends, however it ends. On Windows there is none.

    Raises:
        UsageError: another process holds it.
        FileError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise explain("write to", folder, error) from error
    try:
        _lock(handle, folder.parent)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked_for(ranks: Ranks, folder: Path) -> Iterator[None]:
    """Context manager that holds the lock of `folder` for all ranks; rank 0 takes it. Called on every rank."""
    with contextlib.ExitStack() as held:
        agreement.from_rank_0(ranks, lambda: held.enter_context(locked(folder)))
        yield


def _lock(handle: int, run: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"Another process trains in {run}. Wait for it, or stop it first.") from None
    except OSError as error:
        raise explain("lock", run, error) from error
