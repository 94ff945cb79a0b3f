"""Answers that are withheld where the model is not sure enough of them."""

from __future__ import annotations

from dataclasses import fields, replace

from resnets.core.errors import UsageError
from resnets.tasks.catalog import AnyTask


def with_threshold(
    settings: AnyTask, unknown_below: float | None = None, answered_accuracy: float | None = None
) -> AnyTask:
    """The settings of a task with a threshold of the answers, or the accuracy by which it is chosen; None changes
    nothing, but a threshold that is given is chosen by no accuracy.

    Raises:
        UsageError: the task has no answers that are sure or unsure, or a value is out of its range.
    """
    given: dict[str, float | None] = {"unknown_below": unknown_below, "answered_accuracy": answered_accuracy}
    given = {name: value for name, value in given.items() if value is not None}
    if given and not given.keys() <= {each.name for each in fields(settings)}:
        raise UsageError(f"Answers are withheld by their probability in classification alone, not in {settings.name}.")
    if unknown_below is not None and answered_accuracy is None:
        given["answered_accuracy"] = None
    changed: AnyTask = replace(settings, **given) if given else settings  # type: ignore[arg-type]
    return changed
