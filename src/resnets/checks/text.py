"""The answer for a terminal: the data, problems by kind in a bounded number of lines, then classes."""

from __future__ import annotations

from itertools import groupby

from resnets.checks.kinds import KINDS
from resnets.checks.run import CheckResult
from resnets.core.console import printable
from resnets.core.units import show_count
from resnets.modalities.catalog import what_is

MOST_PATHS = 5  # of a kind
MOST_CLASSES = 20


def lines_of(result: CheckResult) -> list[str]:
    """The lines."""
    lines = [_data(result)]
    for (severity, name), found in groupby(result.problems, key=lambda each: (each.severity, each.kind)):
        group, kind = list(found), KINDS[name]
        lines.append(f"{severity:8} {name} ({len(group):,}): {kind.meaning}; {kind.way_out}.")
        lines += [f"  {_line(each.detail)}" for each in group[:MOST_PATHS]]
        if len(group) > MOST_PATHS:
            lines.append(f"  and {len(group) - MOST_PATHS:,} more")
    if result.classes:
        lines.append(f"classes  {len(result.classes):,}")
        shown = list(result.classes.items())[:MOST_CLASSES]
        width = max(len(printable(name)) for name, _ in shown)
        lines += [f"  {printable(name):{width}} {count:,}" for name, count in shown]
        if len(result.classes) > MOST_CLASSES:
            lines.append(f"  and {len(result.classes) - MOST_CLASSES:,} more")
    if result.contents.fast:
        lines.append("Nothing was decoded: damage within files, transparency and near duplicates are not known.")
    warnings = len(result.problems) - result.errors
    lines.append(f"{show_count(result.errors, 'error')}, {show_count(warnings, 'warning')}")
    return lines


def _data(result: CheckResult) -> str:
    """One line on what was checked, such as "data  photos: image folders, train 9,469, val 500"."""
    what = what_is(result.format, result.inventory.modality, result.inventory.task)
    counts = [f"{name} {count:,}" for name, count in result.samples.items()]
    return f"data  {printable(result.data)}: {', '.join([what, *counts])}"


def _line(text: str) -> str:
    """One line of a message, which may hold several."""
    return " ".join(printable(line.strip()) for line in text.splitlines())
