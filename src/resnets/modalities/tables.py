"""Tables of files with their targets: CSV and JSON lines.

A table has a row for each sample: `path`, relative to the table's folder, and one of `label` (a class), `labels` (any
number of classes: `;` between, or a JSON list) and `target` (a number). `split` says of which split a row is; without
it, all rows are the split "all". A folder may hold a table for each split in place of that, such as `train.csv` and
`val.csv`. `group` names samples that are never divided, such as those of one patient; `fold` the part of
cross-validation that a row is in. A row may have none of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.console import printable
from resnets.core.errors import DataError
from resnets.modalities.base import Dataset, DatasetSplits, SplitName, Subset
from resnets.modalities.class_names import note_on_alike, same_names
from resnets.modalities.file_names import Names
from resnets.modalities.file_signatures import kind_of_content
from resnets.modalities.listing import IMAGES, SOUNDS
from resnets.modalities.table_cells import (
    SPLIT_NAMES,
    TASKS,
    USED,
    Value,
    parse_path,
    parse_split,
    parse_tag,
    parse_target,
    target_column,
)
from resnets.modalities.table_dataset import TableDataset, check_files
from resnets.modalities.table_rows import TableFormat, read_header, read_rows

_SHOWN = 5
_LOST = 1e-3  # standard deviations of a target that rounding it to float32 may take
_MODALITIES = {**dict.fromkeys(IMAGES.endings, "image"), **dict.fromkeys(SOUNDS.endings, "audio")}


@dataclass(frozen=True)
class _Sample:
    place: str  # the file and the line
    name: str  # the file of the sample, relative to the table's folder
    split: SplitName
    value: Value
    group: str
    fold: str


def tables_in(folder: Path, format: TableFormat) -> dict[SplitName, Path]:
    """The tables of the splits in a folder, such as `train.csv`.

    Raises:
        DataError: there are two of one split.
    """
    found: dict[SplitName, Path] = {}
    for name, split in SPLIT_NAMES.items():
        path = folder / f"{name}.{format}"
        if path.is_file():
            if split in found:
                raise DataError(f"{folder} has two tables of the split {split}, {found[split].name} and {path.name}.")
            found[split] = path
    return found


def looks_like_tables(path: Path, format: TableFormat) -> bool:
    """Whether `path` is a file with the ending of the format, or a folder with a `train` table that has paths."""
    if path.is_file():
        return path.suffix.lower() == f".{format}"
    train = path / f"train.{format}"
    try:
        return train.is_file() and "path" in read_header(train, format)
    except DataError:
        return True  # opening it names what is wrong


def open_tables(path: Path, format: TableFormat) -> DatasetSplits:
    """The splits of the table in the file `path`, or of the tables in the folder `path`.

    The classes are those of the rows of `train`, in the order of their names.

    Raises:
        DataError: a file is missing or no such table, or a row is wrong; the message has the file and the line.
    """
    tables: dict[SplitName | None, Path] = {None: path}
    if path.is_dir():
        tables = dict(tables_in(path, format).items())
        if "train" not in tables:
            raise DataError(f"{path} has no train.{format}: name the table itself, or call it so.")
    notes: list[str] = []
    samples, column = _read(tables, format, notes)
    root = path if path.is_dir() else path.parent
    _check_repeated(samples)
    _check_files(root, samples)
    modality = _modality(samples, root)
    parts: dict[SplitName, list[int]] = {"train": [], "val": [], "test": [], "all": []}
    for number, sample in enumerate(samples):
        parts[sample.split].append(number)
    train = [samples[number] for number in parts["train"] or parts["all"]]
    if not train:
        raise DataError(
            f"{path} has no row of the split train. Without the column split, the rows are one split, called all."
        )
    classes = _classes(train, column, path, notes)
    known = {} if column == "target" else _known(samples, classes, path)
    names = Names.of(os.fsencode(sample.name) for sample in samples)
    targets = _targets([sample.value for sample in samples], column, classes, known)
    if column == "target":
        _check_precision(samples, targets["target"])
    groups, folds = (_tags([getattr(sample, each) for sample in samples]) for each in ("group", "fold"))
    whole = TableDataset(root, names, modality, TASKS[column], classes, targets, groups, folds)
    # Splits are parts of one dataset, so that its files have one table of what a scan found.
    splits: dict[SplitName, Dataset] = {
        split: whole if len(part) == len(samples) else Subset(whole, np.array(part, np.int64))
        for split, part in parts.items()
        if part
    }
    if column == "labels":
        for split, part in parts.items():
            if without := sum(not samples[number].value for number in part):
                notes.append(f"{path}: {without:,} of {len(part):,} samples of {split} have none of the labels.")
    return DatasetSplits(splits, notes=tuple(notes), format=format)


def _read(tables: dict[SplitName | None, Path], format: TableFormat, notes: list[str]) -> tuple[list[_Sample], str]:
    """The samples of the tables, and the column that has their targets; a note names the columns that are not used."""
    samples: list[_Sample] = []
    found: dict[str, str] = {}  # where each column with targets was first seen
    for split, table in tables.items():
        before = len(samples)
        others: dict[str, None] = {}
        if format == "csv":
            header = read_header(table, format)
            if not header:
                raise DataError(f"{table} is empty: a table begins with its columns, such as path,label.")
            target_column(header, f"{table}, line 1")
        for sample, column, more in _rows(table, format, split):
            others |= dict.fromkeys(more)
            samples.append(sample)
            if found.setdefault(column, sample.place) and len(found) > 1:
                first, where = next(iter(found.items()))
                raise DataError(f"{sample.place} has a {column}, and {where} a {first}: a table has one of them.")
        if len(samples) == before:
            raise DataError(f"{table} has no rows.")
        ignored = ", ".join(map(printable, list(others)[: _SHOWN * 2]))
        if ignored:
            notes.append(f"{table}: columns that are not used: {ignored}.")
    whole = next((sample for sample in samples if sample.split == "all"), None)
    if whole is not None and any(sample.split != "all" for sample in samples):
        raise DataError(f"{whole.place} has no split, and other rows have one.")
    return samples, next(iter(found))


def _rows(table: Path, format: TableFormat, split: SplitName | None) -> Iterator[tuple[_Sample, str, list[str]]]:
    """Each sample of a table, the column of its target, and the columns that are not used."""
    for row in read_rows(table, format):
        place, cells = f"{table}, line {row.line}", row.cells
        column = target_column(cells, place)
        named = parse_split(cells["split"], place) if "split" in cells else None
        if None not in (split, named) and named != split:
            raise DataError(f"{place} is of the split {named}, in the table of {split}.")
        name, value = parse_path(cells["path"], place), parse_target(column, cells[column], place)
        group, fold = (parse_tag(each, cells.get(each), place) for each in ("group", "fold"))
        unused = [name for name in cells if name not in USED]
        yield _Sample(place, name, split or named or "all", value, group, fold), column, unused


def _check_repeated(samples: Sequence[_Sample]) -> None:
    first: dict[str, _Sample] = {}
    repeated = [(s, first[s.name]) for s in samples if first.setdefault(s.name, s) is not s]
    if repeated:
        listed = [f"{sample.place}: {sample.name} was on {other.place}" for sample, other in repeated]
        raise DataError(f"{len(repeated):,} rows repeat a file, which must be in one row:\n  {_lines(listed)}")


def _check_files(root: Path, samples: Sequence[_Sample]) -> None:
    found = check_files(root, [sample.name for sample in samples])
    if found.outside:
        sample = samples[found.outside[0]]
        raise DataError(f"{sample.place}: {sample.name} is a link to a file outside {root}: put the file there.")
    if found.missing:
        listed = [f"{samples[number].place}: {root / samples[number].name}" for number in found.missing]
        raise DataError(
            f"{len(listed):,} of {len(samples):,} files are not there; paths are relative to the folder of the table:\n"
            f"  {_lines(listed)}"
        )


def _modality(samples: Sequence[_Sample], root: Path) -> str:
    """ "image" or "audio", by the endings of all files, or by the first bytes of those with another."""
    found: dict[str, _Sample] = {}
    for sample in samples:
        modality = _MODALITIES.get(os.path.splitext(sample.name)[1].lower())
        if modality is None and (content := kind_of_content(root / sample.name)) is not None:
            modality = content[0]
        if modality is None:
            raise DataError(
                f"{sample.place}: {sample.name} has not the ending of an image or a sound, nor the content."
            )
        found.setdefault(modality, sample)
    if len(found) > 1:
        both = " and ".join(f"{sample.name} ({sample.place})" for sample in found.values())
        raise DataError(f"A table is of images or of sounds, and this one has both: {both}.")
    return next(iter(found))


def _classes(train: Sequence[_Sample], column: str, path: Path, notes: list[str]) -> tuple[str, ...]:
    if column == "target":
        return ("target",)
    classes = tuple(sorted({name for sample in train for name in _labels(sample)}))
    if not classes:
        raise DataError(f"{path} has no label in any row of train.")
    notes += note_on_alike(classes, str(path))
    if column == "label" and len(classes) == 1:
        notes.append(f"{path} has one class only, {classes[0]}: there is no other class to distinguish it from.")
    return classes


def _known(samples: Sequence[_Sample], classes: tuple[str, ...], path: Path) -> dict[str, str]:
    """The class of each label: itself, or the one that is the same but for form and blanks (`same_names`)."""
    labels = sorted({name for sample in samples for name in _labels(sample)})
    known = same_names(labels, classes, str(path), merged=True)
    strangers = [f"{s.place}: {name}" for s in samples for name in _labels(s) if name not in known]
    if strangers:
        shown = ", ".join(classes[:8]) + (f" and {len(classes) - 8} more" if len(classes) > 8 else "")
        raise DataError(f"{len(strangers):,} labels are nowhere in train, which has {shown}:\n  {_lines(strangers)}")
    return known


def _labels(sample: _Sample) -> tuple[str, ...]:
    return (sample.value,) if isinstance(sample.value, str) else sample.value  # type: ignore[return-value]


def _targets(
    values: Sequence[Any], column: str, classes: tuple[str, ...], known: Mapping[str, str]
) -> dict[str, NDArray[Any]]:
    if column == "target":
        return {"target": np.array(values, np.float32)}
    order = {name: k for k, name in enumerate(classes)}
    number = {name: order[own] for name, own in known.items()}
    if column == "label":
        return {"labels": np.array([number[value] for value in values], np.int64)}
    labels = np.zeros((len(values), len(classes)), np.uint8)
    for row, names in enumerate(values):
        labels[row, [number[name] for name in names]] = 1
    return {"labels": labels}


def _tags(texts: Sequence[str]) -> Names | None:
    """What a column says of each sample; None where no row has it."""
    return Names.of(text.encode() for text in texts) if any(texts) else None


def _check_precision(samples: Sequence[_Sample], stored: NDArray[Any]) -> None:
    """Raises DataError if float32 loses what distinguishes the targets, as it does of 1700000001 and 1700000002."""
    given = np.array([sample.value for sample in samples], np.float64)
    lost = np.abs(stored.astype(np.float64) - given)
    worst = int(lost.argmax())
    if lost[worst] > _LOST * given.std() > 0:
        raise DataError(
            f"{samples[worst].place}: target {given[worst]:.17g} is {stored[worst]:.17g} in float32, in which targets "
            f"are held, and their standard deviation is only {given.std():.3g}. Subtract a constant from all of them, "
            f"such as {np.floor(given.min()):.17g}."
        )


def _lines(listed: Sequence[str]) -> str:
    more = [f"and {len(listed) - _SHOWN:,} more"] if len(listed) > _SHOWN else []
    return "\n  ".join([*listed[:_SHOWN], *more])
