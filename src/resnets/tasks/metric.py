"""A metric by which models can be compared, and a model be chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from resnets.core.errors import UsageError

Direction = Literal["max", "min"]


@dataclass(frozen=True)
class Metric:
    """A metric by which models can be compared.

    Args:
        name: its key among the metrics.
        direction: whether more is better.
        percent: whether it is a fraction of 1, shown in percent.
        least_classes, most_classes: of the data that it says something of.
        needs: the setting of the task without which models have no such figure; None where all have it.
    """

    name: str
    direction: Direction
    percent: bool = True
    least_classes: int = 0
    most_classes: int | None = None
    needs: str | None = None

    def check_settings(self, settings: Any) -> None:
        """Raises UsageError if models with these settings of the task have no such figure."""
        if self.needs is not None and not getattr(settings, self.needs):
            raise UsageError(
                f"{self.name} is of models with {self.needs} (task.{self.needs}=true): choose another metric."
            )

    def check_classes(self, classes: int) -> None:
        """Raises UsageError if it says nothing of so many classes."""
        if self.least_classes <= classes and (self.most_classes is None or classes <= self.most_classes):
            return
        least = f"{self.least_classes} classes"
        needed = least if self.least_classes == self.most_classes else f"{least} or more"
        raise UsageError(f"{self.name} says something of {needed}, and there are {classes}: choose another metric.")

    def show(self, value: float | None) -> str:
        """`value` for people."""
        if value is None:
            return "-"
        return f"{value:.2%}" if self.percent else f"{value:.4g}"
