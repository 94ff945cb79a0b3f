"""Checks a dataset: lists it, reads it, and runs every check that can report a wanted kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from resnets.checks.boxes import list_boxes
from resnets.checks.catalog import CHECKS, DAMAGE
from resnets.checks.files import list_folders
from resnets.checks.inventory import Inventory, from_splits
from resnets.checks.kinds import ALWAYS, KINDS
from resnets.checks.masks import list_masks
from resnets.checks.problem import Problem, failed
from resnets.checks.scan import Contents, Progress, save, scan
from resnets.checks.shards import list_shards
from resnets.checks.tables import list_tables
from resnets.core.errors import DataError, ResnetsError, UsageError, lookup
from resnets.core.urls import local_path
from resnets.modalities.base import DatasetSplits
from resnets.modalities.catalog import FORMATS, NAMES, find_format, is_file_of_data, open_dataset
from resnets.modalities.mistaken_data import mistaken_data
from resnets.tasks.catalog import find as find_task


class UnreadableDataError(DataError):
    """Data of which nothing can be checked."""

    exit_code = 2


@dataclass(frozen=True)
class CheckResult:
    """What was found.

    Args:
        data: as it was given.
        format: as `--format` names it; "" for data by name.
        samples: their number by split.
        classes: their number by class, over all splits; of boxes, the number of these. Empty where targets are numbers.
        problems: errors first, then in the order of the kinds and the paths.
        inventory: the samples.
        contents: what was read of them.
        strict: whether warnings fail as well.
    """

    data: str
    format: str
    samples: Mapping[str, int]
    classes: Mapping[str, int]
    problems: tuple[Problem, ...] = field(repr=False)
    inventory: Inventory = field(repr=False, compare=False)
    contents: Contents = field(repr=False, compare=False)
    strict: bool = False

    @property
    def errors(self) -> int:
        """The number of errors."""
        return sum(problem.severity == "error" for problem in self.problems)

    @property
    def failed(self) -> bool:
        """Whether there is an error, or, where the check is strict, any problem."""
        return bool(self.problems) if self.strict else self.errors > 0

    def of(self, kind: str) -> tuple[Problem, ...]:
        """The problems of one kind."""
        return tuple(
            problem for problem in self.problems if problem.kind == lookup({k: k for k in KINDS}, kind, "kind")
        )

    def to_json(self) -> dict[str, Any]:
        """What `resnets check --json` prints."""
        return {
            "data": self.data,
            "format": self.format,
            "samples": dict(self.samples),
            "classes": dict(self.classes),
            "problems": [problem.to_json() for problem in self.problems],
        }


LISTERS: Mapping[str, Callable[[Path], Inventory]] = {
    "folders": list_folders,
    "csv": partial(list_tables, format="csv"),
    "jsonl": partial(list_tables, format="jsonl"),
    "masks": list_masks,
    "voc": partial(list_boxes, format="voc"),
    "coco": partial(list_boxes, format="coco"),
    "yolo": partial(list_boxes, format="yolo"),
    "webdataset": list_shards,
}


def check_data(
    data: str,
    *,
    format: str | None = None,
    kinds: frozenset[str] = frozenset(KINDS),
    strict: bool = False,
    fast: bool = False,
    threads: int = 1,
    progress: Progress | None = None,
) -> CheckResult:
    """Checks the dataset, folder or file `data`.

    Args:
        kinds: those that are reported; `ALWAYS` is in any case.
        fast: decode nothing: of files, headers and ends are read, and their bytes where sizes are equal.
        threads: that read files.
        progress: is called with the number of samples that were read.

    Raises:
        UnreadableDataError: nothing of it can be checked.
        UsageError: there is no such format, or a package is missing.
    """
    inventory = list_data(data, format)
    wanted = kinds | {ALWAYS}
    checks = {
        name: each for name, each in CHECKS.items() if each.kinds & wanted and inventory.modality in each.modalities
    }
    decode = bool(wanted & DAMAGE) or any(each.reads for each in checks.values())
    contents = scan(inventory, threads=threads, fast=fast, decode=decode, progress=progress)
    problems = [*inventory.problems, *contents.problems]
    for name, each in checks.items():
        try:
            problems += each.run(inventory, contents)
        except (UsageError, MemoryError):
            raise
        except Exception as error:
            problems.append(failed(data, error, f"the check of {name}"))
    save(inventory, contents)
    if "unreadable" in wanted and not any(problem.severity == "error" for problem in problems):
        problems += _refusal(inventory, data)
    return CheckResult(
        data,
        inventory.format,
        inventory.split_counts,
        inventory.counts(),
        _sorted(problem for problem in problems if problem.kind in wanted),
        inventory,
        contents,
        strict,
    )


def list_data(data: str, format: str | None = None) -> Inventory:
    """The samples of the dataset, folder or file `data`.

    Raises:
        UnreadableDataError: they cannot be listed.
        UsageError: there is no such format.
    """
    data = str(local_path(data, "data"))
    path = Path(data)
    try:
        # The name of a dataset, or nothing; or what is no data but for one of the formats.
        if data in NAMES or not path.exists() or (format is None and mistaken_data(path) and not is_file_of_data(path)):
            return from_splits(data, open_dataset(data, format))
        if format is not None:
            lookup(FORMATS, format, "format of data")
        name = format or find_format(path)
        if name not in LISTERS:
            return from_splits(data, open_dataset(data, name))
        found = LISTERS[name](path)
        if not found.samples and not found.problems:
            raise DataError(f"{data} holds no samples.")
        found.refusal = lambda: _adapted(FORMATS[name].open(path))
        return found
    except DataError as error:
        raise UnreadableDataError(str(error)) from error


def _adapted(splits: DatasetSplits) -> DatasetSplits:
    """The data as training reads it, by the settings that its task has where none are given."""
    return find_task(splits.train.task).adapt(splits)


def _refusal(inventory: Inventory, data: str) -> list[Problem]:
    """What training refuses in data in which no error was found."""
    try:
        if inventory.refusal is not None:
            inventory.refusal()
    except ResnetsError as error:
        return [Problem("unreadable", data, f"Training refuses the data: {error}")]
    return []


def _sorted(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    order = {kind: number for number, kind in enumerate(KINDS)}
    unique = dict.fromkeys(problems)
    return tuple(sorted(unique, key=lambda each: (each.severity, order[each.kind], each.path)))
