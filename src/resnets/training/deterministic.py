"""`deterministic=true`: steps on CUDA that give the same bits every time.

On the CPU they always do, for a given number of threads.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch

from resnets.core.errors import UsageError

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_CUBLAS_VALUES = (":4096:8", ":16:8")  # with which cuBLAS promises the same bits


def reserve_cublas() -> None:
    """Sets the variable that makes cuBLAS use one workspace; it is read once, when CUDA starts.

    Raises:
        UsageError: this process has already used CUDA without it.
    """
    if not torch.cuda.is_available() or os.environ.get(_CUBLAS) in _CUBLAS_VALUES:
        return
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        raise UsageError(
            f"deterministic=true needs {_CUBLAS}={_CUBLAS_VALUES[0]} in the environment before CUDA starts, and this "
            "process has used CUDA already: set it before Python starts, or train in a process of its own."
        )
    os.environ[_CUBLAS] = _CUBLAS_VALUES[0]


@contextlib.contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Context manager in which torch uses only deterministic algorithms if `wanted`.

    Raises:
        UsageError: the network has a layer for which torch has none.
    """
    if not wanted:
        yield
        return
    filling: Any = torch.utils.deterministic
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    flags = cudnn.deterministic, cudnn.benchmark, filling.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    filling.fill_uninitialized_memory = False  # nothing here reads uninitialised memory
    try:
        yield
    except RuntimeError as error:
        if "does not have a deterministic implementation" not in str(error):
            raise
        raise UsageError(
            f"{str(error).partition(' does not have')[0]} has no deterministic implementation in torch: choose "
            "another layer, or deterministic=false."
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.deterministic, cudnn.benchmark, filling.fill_uninitialized_memory = flags
