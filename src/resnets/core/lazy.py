"""Modules that are imported when one of their names is read, for annotations.

A module that must start fast does not import torch, and yet its annotations are read: by `typing.get_type_hints`, by
notebooks and by tools that make documentation or parsers of signatures. It imports for type checkers what it names
there, and has a `LazyModule` of the same name otherwise:

    if TYPE_CHECKING:
        from resnets.evaluation import scoring
    else:
        scoring = LazyModule("resnets.evaluation.scoring")

    def evaluate(model: str) -> scoring.Scores: ...
"""

from __future__ import annotations

import importlib
from typing import Any


class LazyModule:
    """Stands for the module called `name`, which is imported when an attribute is read."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what `inspect` and others ask any object for
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)

    def __repr__(self) -> str:
        return f"<lazy module {self.__name__!r}>"
