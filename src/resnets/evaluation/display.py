"""Metrics in a line of text, and as what a notebook shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnets.core import display
from resnets.core.errors import UsageError
from resnets.core.units import show_count
from resnets.tasks.catalog import find
from resnets.tasks.metric import Metric

_NOT_SHOWN = ("samples", "task", "data", "split")  # which the heading has


def headline(task: str, metrics: Mapping[str, Any], noun: str = "sample") -> str:
    """The split and the first metric of a task, such as "val accuracy 98.20% of 500 images".

    Args:
        task: its name; of an unknown task, the line has the number of samples alone.
        metrics: those of the task, with "samples" and, where it is known, "split".
    """
    samples = show_count(metrics.get("samples", 0), noun)
    known = _metrics_of(task)
    if not known:
        return " ".join(filter(None, [metrics.get("split"), samples]))
    first = known[0]
    name = " ".join(filter(None, [metrics.get("split"), first.name]))  # version 0.1.0 does not say the split
    return f"{name} {first.show(metrics.get(first.name))} {'of' if first.percent else 'on'} {samples}"


def page(
    title: str,
    task: str,
    metrics: Mapping[str, Any],
    *,
    noun: str = "sample",
    links: Mapping[str, Path] | None = None,
    below: str = "",
) -> str:
    """HTML with every metric that is one value, and a table of the classes.

    Args:
        links, below: see `core.display.facts`.
    """
    shown = {metric.name: metric.show for metric in _metrics_of(task)}
    rows: dict[str, object] = {noun + "s": f"{metrics.get('samples', 0):,}"}
    for name, value in metrics.items():
        if name in shown:
            rows[name] = shown[name](value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and name not in _NOT_SHOWN:
            rows[name] = f"{value:.4g}"
    return display.facts(title, rows, links, _classes(metrics.get("classes")), below)


def _classes(classes: object) -> str:
    """A table of the metrics of each class, or nothing where there are none."""
    if not isinstance(classes, Mapping) or not classes:
        return ""
    columns = list(dict.fromkeys(name for each in classes.values() for name in each))
    rows = [[name, *(_cell(each.get(column)) for column in columns)] for name, each in classes.items()]
    return display.table(["class", *columns], rows, show_count(len(rows), "class", "classes"))


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)


def _metrics_of(task: str) -> tuple[Metric, ...]:
    try:
        return find(task).metrics
    except UsageError:
        return ()
