"""A problem: one thing that is wrong with one file, class or row, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resnets.checks.kinds import KINDS, Severity

Box = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels of the upright image


@dataclass(frozen=True)
class Problem:
    """One problem.

    Args:
        kind: one of `KINDS`.
        path: the file, folder or table that has it.
        detail: what is wrong with it, in a line.
        related: other files that take part, such as the copies of a duplicate.
        box: of an annotation.
        as_severity: where it differs from the kind's.
    """

    kind: str
    path: str
    detail: str
    related: tuple[str, ...] = ()
    box: Box | None = None
    as_severity: Severity | None = None

    @property
    def severity(self) -> Severity:
        """ "error" or "warning"."""
        return self.as_severity or KINDS[self.kind].severity

    def to_json(self) -> dict[str, Any]:
        """The object that `resnets check --json` prints."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "path": self.path,
            "related": list(self.related),
            "box": None if self.box is None else list(self.box),
            "detail": self.detail,
        }


def failed(path: str, error: Exception, what: str = "this file") -> Problem:
    """The problem of what could not be checked, so that a fault of a check is never a clean bill."""
    return Problem("check_failed", path, f"{path}: {what} could not be checked: {type(error).__name__}: {error}")
