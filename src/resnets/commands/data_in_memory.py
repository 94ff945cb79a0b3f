"""Functions whose `data` may be in memory; see `resnets.modalities.in_memory`."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

DataInMemory = Any  # a pair (images, labels), a map-style Dataset of torch, or a mapping of those by split
P = ParamSpec("P")
R = TypeVar("R")


def takes_data_in_memory(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator, below `@checked_arguments`, of a function that takes `data`: it gets a name for what is no path."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        data: Any = kwargs.get("data")
        if data is None or isinstance(data, str | os.PathLike):
            return function(*args, **kwargs)
        from resnets.modalities.in_memory import in_memory

        with in_memory(data) as name:
            kwargs["data"] = name
            return function(*args, **kwargs)

    return call
