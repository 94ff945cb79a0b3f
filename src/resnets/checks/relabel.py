"""Labels that are corrected by a list: a copy of the data, never the data itself."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from resnets.core.errors import DataError, UsageError, unknown
from resnets.core.files import cell_text, explain, write_bytes
from resnets.data.groups import column_of
from resnets.modalities.base import Dataset, DatasetSplits
from resnets.modalities.catalog import open_dataset
from resnets.tasks.catalog import find

COLUMNS = ("path", "suggested")
_KEPT = {"groups": "group", "folds": "fold"}  # further columns of a table, by the name that datasets have for them


def read_corrections(path: Path) -> dict[str, str]:
    """The new label of each sample in a CSV with the columns path and suggested, such as wrong_labels.csv.

    Raises:
        DataError: the file is missing, is no such table, or has two labels for one sample.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
    except OSError as error:
        raise explain("read", path, error) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no CSV table: {error}.") from error
    if not rows:
        raise DataError(f"{path} has no rows: there is nothing to correct.")
    if missing := [name for name in COLUMNS if name not in rows[0]]:
        raise DataError(f"{path} has no column {missing[0]}: it takes path and suggested, the new label.")
    found: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        name, label = (cell_text(row[column] or "") for column in COLUMNS)
        if not name or not label:
            raise DataError(f"Row {number} of {path} has no {'label' if name else 'path'}: remove it, or fill it in.")
        if found.setdefault(os.path.abspath(name), label) != label:
            raise DataError(f"{path} has two labels for {name}.")
    return found


def relabel(data: str, format: str | None, corrections: Mapping[str, str], out: Path) -> int:
    """Writes `data` with the corrected labels to `out`; returns how many labels have changed.

    Folders of classes are copied into a new folder; a table is written anew beside the old one, with its splits, groups
    and folds.

    Raises:
        UsageError: the data has no files with one label each, `out` exists, or is no place for it.
        DataError: a correction is of no sample of the data, or to a class that it does not have.
        FileError: a file cannot be written.
    """
    splits = open_dataset(data, format)
    parts: dict[str, Any] = {n: each for n, each in splits.splits.items() if n != "all" or len(splits.splits) == 1}
    train = splits.train
    if not find(train.task).single_label or not train.on_disk:
        raise UsageError(f"Labels are corrected in folders of classes and in tables of files, which {data} is not.")
    if out.exists():
        raise UsageError(f"{out} exists: give --out a new one, so that nothing is lost.")
    for label in sorted(set(corrections.values()) - set(train.classes)):
        raise unknown("class of the data", label, train.classes)
    known = {os.path.abspath(part.name(i)) for part in parts.values() for i in range(len(part))}
    if strange := [path for path in corrections if path not in known]:
        raise DataError(f"{strange[0]} is no sample of {data}: the corrections are of other data.")
    if splits.format == "folders":
        return _copy_folders(parts, corrections, out)
    return _write_table(splits, parts, corrections, out)


def _labelled(dataset: Dataset, corrections: Mapping[str, str]) -> Iterator[tuple[Path, str, bool]]:
    """The path of each sample, its label now, and whether that has changed."""
    for index in range(len(dataset)):
        old = dataset.classes[int(dataset.targets["labels"][index])]
        new = corrections.get(os.path.abspath(dataset.name(index)), old)
        yield Path(dataset.name(index)), new, new != old


def _copy_folders(parts: Mapping[str, Any], corrections: Mapping[str, str], out: Path) -> int:
    """Copies the files into `out`/SPLIT/CLASS; whole, or not at all."""
    unfinished = out.with_name(f"{out.name}.unfinished")
    changes = 0
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        for split, dataset in parts.items():
            root = unfinished if split == "all" else unfinished / split
            for path, label, changed in _labelled(dataset, corrections):
                folder = root / label
                folder.mkdir(parents=True, exist_ok=True)
                place = folder / path.name
                number = 2
                while place.exists():  # of another class before, or of a folder in the class
                    place = folder / f"{path.stem}_{number}{path.suffix}"
                    number += 1
                shutil.copy2(path, place)
                changes += changed
        unfinished.rename(out)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise explain("write", out, error) from error
    return changes


def _write_table(splits: DatasetSplits, parts: Mapping[str, Any], corrections: Mapping[str, str], out: Path) -> int:
    root = splits.train.on_disk[0].root
    if out.suffix.lower() != ".csv" or out.resolve().parent != root.resolve():
        raise UsageError(f"A corrected table lies beside its files: give --out a new .csv file in {root}.")
    kept = {name: field for field, name in _KEPT.items() if column_of(splits.train, field) is not None}
    header = ["path", "label", *([] if list(parts) == ["all"] else ["split"]), *kept]
    rows, changes = [header], 0
    for split, dataset in parts.items():
        more = [column_of(dataset, field) or [""] * len(dataset) for field in kept.values()]
        for (path, label, changed), *cells in zip(_labelled(dataset, corrections), *more, strict=True):
            rows.append([os.path.relpath(path, root), label, *([split] if "split" in header else []), *cells])
            changes += changed
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)  # as they are: names of files, which `write_csv` would change
    write_bytes(out, text.getvalue().encode(errors="surrogateescape"))
    return changes
