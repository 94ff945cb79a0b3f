"""Which boxes are answered, and which of them are drawn."""

from __future__ import annotations

from dataclasses import fields, replace

from resnets.core.errors import UsageError
from resnets.tasks.catalog import AnyTask


def with_box_limits(
    settings: AnyTask,
    classes: int,
    *,
    min_score: float | None = None,
    draw_score: float | None = None,
    max_boxes: int | None = None,
) -> AnyTask:
    """The settings of a task with limits of the boxes that it answers; None changes nothing.

    Args:
        min_score, max_boxes: boxes with a lower score are no answers, and an image has at most so many.
        draw_score: the score from which boxes of any class are drawn and printed.

    Raises:
        UsageError: the task answers no boxes, or a value is out of its range.
    """
    if draw_score is not None and not 0 <= draw_score <= 1:
        raise UsageError(f"--draw-score takes a score from 0 to 1, not {draw_score:g}.")
    given = {
        "min_score": min_score,
        "max_boxes": max_boxes,
        "thresholds": None if draw_score is None else (draw_score,) * classes,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if given and "max_boxes" not in {each.name for each in fields(settings)}:
        raise UsageError(f"--min-score, --draw-score and --max-boxes are for boxes, not for {settings.name}.")
    if draw_score is not None:
        given["precision"] = None
    changed: AnyTask = replace(settings, **given) if given else settings  # type: ignore[arg-type]
    return changed
