"""What is wrong with the files of a dataset: training is refused at the first fault, `resnets check` lists all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resnets.core.errors import DataError


@dataclass(frozen=True)
class Fault:
    """Why a file is no sample: the kind as `resnets check` has it, the file or list, and what to say of it.

    Args:
        image: which an annotation is of; "" for none.
        box: of an annotation: left, top, right and bottom in pixels of that image.
        is_note: whether training goes on without it, where other faults are refused.
    """

    kind: str
    path: str
    message: str
    image: str = ""
    box: tuple[float, float, float, float] | None = None
    is_note: bool = False


Faults = list[Fault]


def refuse(faults: Faults | None, kind: str, path: object, message: str, **more: Any) -> None:
    """Raises DataError, or appends to `faults` where there is such a list."""
    if faults is None:
        raise DataError(message)
    faults.append(Fault(kind, str(path), message, **more))


def remark(notes: list[str], faults: Faults | None, kind: str, path: object, message: str) -> None:
    """Appends to the notes of the data, and to `faults` where there is such a list."""
    notes.append(message)
    if faults is not None:
        faults.append(Fault(kind, str(path), message, is_note=True))
