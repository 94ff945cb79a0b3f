"""`resnets check`."""

from __future__ import annotations

import os
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from resnets.commands.arguments import check_range
from resnets.commands.command import Answer, Command, Invocation, can_be_quiet
from resnets.commands.data_in_memory import DataInMemory, name_of
from resnets.core.console import note
from resnets.core.errors import UsageError
from resnets.core.lazy import LazyModule
from resnets.core.progress import Line, progress_line
from resnets.core.signatures import checked_arguments
from resnets.core.units import show_count
from resnets.core.workers import MAX_WORKERS, usable_cores

if TYPE_CHECKING:
    from resnets.checks import run as checks
else:
    checks = LazyModule("resnets.checks.run")


@checked_arguments
@can_be_quiet
def check(
    data: str | PathLike[str] | DataInMemory,
    /,
    *,
    format: str | None = None,
    only: str | None = None,
    skip: str | None = None,
    strict: bool = False,
    fast: bool = False,
    relabel: str | PathLike[str] | None = None,
    out: str | PathLike[str] | None = None,
    workers: int | None = None,
    quiet: bool = False,
    progress: Callable[[int], None] | None = None,
) -> checks.CheckResult:
    """Find what is wrong with a dataset, by path, before it costs a run.

    Every file is decoded as training does; a second check decodes only what has changed.

    Args:
        data: a folder, a table, WebDataset shards, or a dataset by name. In Python also (images, labels), a map-style
            Dataset of torch, or these by split.
        format: of the data, where two fit: folders, csv, jsonl, masks, voc, coco, yolo or webdataset (default: found by
            looking).
        only: report these kinds of problems alone, with commas between, such as unreadable,truncated.
        skip: report all kinds but these.
        strict: fail on warnings as well.
        fast: decode nothing: read headers and the ends of files.
        relabel: CSV with the columns path and suggested, such as the wrong_labels.csv of `evaluate --out`: a copy of
            the data with these labels is written to out, a new folder or, of a table, a new .csv beside it, and
            checked.
        out: folder for check.html and check.json; with relabel, the corrected copy.
        workers: threads that decode (default: one for each usable core).
        quiet: show no progress and no notes; else both are shown on a terminal and in a notebook.
        progress: called with the number of files that have been read, in place of showing it.

    Returns:
        The result: `result.problems`, each with its kind, severity, path and detail; `result.failed`.

    Raises:
        UsageError: if there is no such format or kind.
        DataError: if nothing of the data can be checked.
        FileError: if the folder cannot be written.

    Example:
        result = resnets.check("photos", skip="orientation")
        [problem.path for problem in result.problems if problem.severity == "error"]
    """
    check_range("workers", workers, 1, MAX_WORKERS)
    kinds = _kinds(only, skip)
    with name_of(data) as name, progress_line() as line:
        if relabel is not None:
            name = _corrected(name, format, Path(relabel), out)
        result = checks.check_data(
            name,
            format=format,
            kinds=kinds,
            strict=strict,
            fast=fast,
            threads=usable_cores() if workers is None else workers,
            progress=progress or (lambda done: line(f"check  {done:,} files read")),
        )
    if out is not None and relabel is None:
        from resnets.checks.page import write_page
        from resnets.core.files import write_json

        write_page(Path(out) / "check.html", result)
        write_json(Path(out) / "check.json", result.to_json())
    return result


def _corrected(data: str, format: str | None, corrections: Path, out: str | PathLike[str] | None) -> str:
    """Writes a corrected copy of `data` to `out`, and says how many labels have changed; returns `out`."""
    from resnets.checks.relabel import read_corrections, relabel

    if out is None:
        raise UsageError("Say where the corrected copy goes: --out FOLDER, or of a table --out FILE.csv beside it.")
    changed = relabel(data, format, read_corrections(corrections), Path(out))
    note(f"{show_count(changed, 'label')} changed: {os.fspath(out)}")
    return os.fspath(out)


def _kinds(only: str | None, skip: str | None) -> frozenset[str]:
    """The kinds that are reported."""
    from resnets.checks.kinds import KINDS

    chosen = frozenset(KINDS) if only is None else _named(only)
    return chosen - (frozenset() if skip is None else _named(skip))


def _named(text: str) -> frozenset[str]:
    from resnets.checks.kinds import KINDS
    from resnets.core.errors import lookup

    return frozenset(
        lookup({kind: kind for kind in KINDS}, name.strip(), "kind of problem") for name in text.split(",")
    )


def _answer(invocation: Invocation) -> Answer:
    from resnets.checks.text import lines_of

    stream = invocation.progress_stream
    line = Line(None, stream if stream is not None and stream.isatty() else None)
    result: checks.CheckResult = invocation.call(progress=lambda done: line(f"check  {done:,} files read"))
    line.close()
    return Answer(lines_of(result), result.to_json(), failed=result.failed)


COMMAND = Command(check, _answer, python_only=("progress", "quiet"))
