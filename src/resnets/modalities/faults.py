"""What is wrong with the files of a dataset: training is refused at the first fault, `resnets check` lists all."""

from __future__ import annotations

from dataclasses import dataclass

from resnets.core.errors import DataError


@dataclass(frozen=True)
class Fault:
    """Why a file is no sample: the kind as `resnets check` has it, the file or list, and what to say of it."""

    kind: str
    path: str
    message: str


Faults = list[Fault]


def refuse(faults: Faults | None, kind: str, path: object, message: str) -> None:
    """Raises DataError, or appends to `faults` where there is such a list."""
    if faults is None:
        raise DataError(message)
    faults.append(Fault(kind, str(path), message))
