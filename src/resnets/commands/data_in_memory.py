"""Functions whose `data` may be in memory; see `resnets.modalities.in_memory`."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

DataInMemory = Any  # a pair (images, labels), a map-style Dataset of torch, or a mapping of those by split
P = ParamSpec("P")
R = TypeVar("R")


@contextlib.contextmanager
def name_of(data: str | os.PathLike[str] | DataInMemory) -> Iterator[str]:
    """Context manager that gives the text of a path or name, or a name under which data in memory is found meanwhile.

    Raises:
        UsageError, DataError: as `modalities.in_memory.in_memory`.
    """
    if isinstance(data, str | os.PathLike):
        yield os.fspath(data)
        return
    from resnets.modalities.in_memory import in_memory

    with in_memory(data) as name:
        yield name


def takes_data_in_memory(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator, below `@checked_arguments`, of a function that takes `data`: it gets a name for what is no path."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        data: Any = kwargs.get("data")
        if data is None or isinstance(data, str | os.PathLike):
            return function(*args, **kwargs)
        with name_of(data) as name:
            kwargs["data"] = name
            return function(*args, **kwargs)

    return call
