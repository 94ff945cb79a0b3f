"""The seconds that a run has used of its time budget, in a file beside its checkpoints.

A checkpoint has them too. The file is written more often, so that what a kill undoes counts as well: a run that was
killed and resumed ends as late as one that was not.
"""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

EVERY_SECONDS = 1.0  # at most
_NAME = "used_seconds"


def write_used(checkpoints: Path, seconds: float) -> None:
    """Notes `seconds` in the folder of the checkpoints, once there is one; what cannot be written is left out."""
    with contextlib.suppress(OSError):
        (checkpoints / _NAME).write_text(f"{seconds:.3f}\n", encoding="ascii")


def read_used(checkpoints: Path) -> float:
    """The seconds that were noted last; 0 where none were, or where a kill cut the file short."""
    try:
        seconds = float((checkpoints / _NAME).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0.0
    return seconds if math.isfinite(seconds) and seconds >= 0 else 0.0
