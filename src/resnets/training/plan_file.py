"""The file in which several runs that belong together have what they share: folds.json, sweep.json."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

from resnets.core.config import decode, encode
from resnets.core.errors import FileError, UsageError
from resnets.core.files import read_json, write_json

FORMAT = 1
T = TypeVar("T")


def write_plan_file(path: Path, plan: Any) -> None:
    """Writes a plan, a frozen dataclass.

    Raises:
        FileError: it cannot be written.
    """
    write_json(path, {"format": FORMAT, **encode(plan)})


def read_plan_file(path: Path, declared: type[T]) -> T | None:
    """The plan in `path`; None where there is no such file.

    Raises:
        FileError: it is damaged, or of another version.
    """
    if not os.path.lexists(path):
        return None
    data = read_json(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise FileError(f"{path} is of another version: read it with the version of resnets that wrote it.")
    try:
        return decode(declared, {key: value for key, value in data.items() if key != "format"})
    except UsageError as error:
        raise FileError(f"{path} is damaged: {error}") from error
