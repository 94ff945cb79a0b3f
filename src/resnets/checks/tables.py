"""Tables, read without refusing any row: rows that cannot be used, files that are not there, labels that do not fit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

from resnets.checks.inventory import Inventory, Label, Sample, labels_of
from resnets.core.errors import DataError
from resnets.modalities.base import SplitName
from resnets.modalities.class_names import same_names
from resnets.modalities.file_signatures import kind_of_content
from resnets.modalities.listing import KINDS
from resnets.modalities.table_cells import parse_path, parse_split, parse_tag, parse_target, target_column
from resnets.modalities.table_dataset import check_files
from resnets.modalities.table_rows import Row, TableFormat, read_header, read_rows
from resnets.modalities.tables import tables_in


def list_tables(path: Path, format: TableFormat) -> Inventory:
    """The rows of the table in the file `path`, or of those in the folder `path`.

    Raises:
        DataError: there is no table, or it has no columns that are read.
    """
    found_tables: dict[SplitName | None, Path] = {None: path}
    if path.is_dir():
        found_tables = dict(tables_in(path, format).items())
        if not found_tables:
            raise DataError(f"{path} has no train.{format}: name the table itself, or call it so.")
    root = path if path.is_dir() else path.parent
    found = Inventory(root, format, "image")
    column = ""
    for split, table in found_tables.items():
        header = read_header(table, format)
        own = target_column(header, f"{table}, line 1")
        if column and own != column:
            raise DataError(f"{table} has the column {own}, and another table {column}: a table has one of them.")
        column = own
        before = len(found.samples) + len(found.problems)
        for row in _rows(found, table, format):
            _add(found, row, table, split, column)
        if len(found.samples) + len(found.problems) == before:
            found.add("bad_row", table, f"{table} has no rows.")
    _check_splits(found, path)
    _check_files(found)
    _check_repeated(found)
    _find_modality(found)
    if column != "target":
        _match_classes(found, path)
    return found


def _rows(found: Inventory, table: Path, format: TableFormat) -> Iterator[Row]:
    """The rows up to the first one of which the format cannot be read, which is noted."""
    try:
        yield from read_rows(table, format)
    except DataError as error:
        found.add("bad_row", table, f"{error} What follows it has not been checked.")


def _add(found: Inventory, row: Row, table: Path, split: SplitName | None, column: str) -> None:
    """Adds the sample of a row, or a problem for each cell that cannot be used."""
    place, cells = f"{table}, line {row.line}", row.cells
    reasons: list[str] = []
    name, label = "", cast(Label, None)
    own: SplitName = split or "all"
    try:
        name = parse_path(cells.get("path"), place)
    except DataError as error:
        reasons.append(str(error))
    try:
        if column not in cells:
            raise DataError(f"{place} has no {column}, which the other rows have.")
        label = parse_target(column, cells[column], place)
        label = tuple(sorted(label)) if isinstance(label, tuple) else label  # in whichever order they are written
    except DataError as error:
        reasons.append(str(error))
    try:
        named = parse_split(cells["split"], place) if "split" in cells else None
        own = named or own
        if split is not None and own != split:
            reasons.append(f"{place} is of the split {own}, in the table of {split}.")
    except DataError as error:
        reasons.append(str(error))
    tags = {"group": "", "fold": ""}
    for tag in tags:
        try:
            tags[tag] = parse_tag(tag, cells.get(tag), place)
        except DataError as error:
            reasons.append(str(error))
    for reason in reasons:
        found.add("bad_row", table, reason, *([os.path.join(found.root, name)] if name else []))
    if not reasons:
        found.samples.append(Sample(name, own, label, place=place, **tags))


def _check_splits(found: Inventory, path: Path) -> None:
    """Rows without a split or a fold, where others have one; and a table without any of train."""
    without = [each for each in found.samples if each.split == "all"]
    if without and len(without) < len(found.samples):
        found.add("bad_row", path, f"{without[0].place} has no split, and other rows have one.")
    if found.samples and not without and not any(each.split == "train" for each in found.samples):
        found.add("bad_row", path, f"{path} has no row of the split train.")
    unfolded = [each for each in found.samples if not each.fold]
    if unfolded and len(unfolded) < len(found.samples):
        detail = f"{unfolded[0].place} has no fold, and other rows have one: `train --fold` refuses the table."
        found.add("bad_row", path, detail, as_severity="warning")


def _check_files(found: Inventory) -> None:
    """Takes out the samples whose files are not there, or outside of the folder."""
    wrong = check_files(found.root, [sample.name for sample in found.samples])
    for number in wrong.missing:
        sample = found.samples[number]
        path = found.path(number)
        found.add("missing_file", path, f"{sample.place}: there is no file {path}.")
    for number in wrong.outside:
        sample = found.samples[number]
        detail = f"{sample.place}: {sample.name} is a link to a file outside {found.root}: put the file there."
        found.add("bad_row", found.path(number), detail)
    gone = {*wrong.missing, *wrong.outside}
    found.samples = [sample for number, sample in enumerate(found.samples) if number not in gone]


def _check_repeated(found: Inventory) -> None:
    """Takes out rows that repeat a file of an earlier row."""
    first: dict[str, Sample] = {}
    kept = []
    for sample in found.samples:
        before = first.setdefault(sample.name, sample)
        if before is sample:
            kept.append(sample)
            continue
        path = os.path.join(found.root, sample.name)
        detail = f"{sample.place}: {sample.name} was on {before.place}; a file must be in one row."
        found.add("bad_row", path, detail)
        if sample.split != before.split:
            found.add("split_leak", path, f"{sample.place} and {before.place} have {path} in two splits.")
        if sample.label != before.label:
            found.add("label_conflict", path, f"{sample.place} and {before.place} give {path} two labels.")
    found.samples = kept


def _find_modality(found: Inventory) -> None:
    """Of what most files are by their endings; the others are problems."""
    kinds: list[str | None] = []
    for number, sample in enumerate(found.samples):
        own = next((name for name, kind in KINDS.items() if kind.has(sample.name)), None)
        content = kind_of_content(found.path(number)) if own is None else None
        kinds.append(own if content is None else content[0])
    found.modality = max(KINDS, key=kinds.count)
    kept = []
    for number, (sample, kind) in enumerate(zip(found.samples, kinds, strict=True)):
        if kind == found.modality:
            kept.append(sample)
        else:
            detail = f"{sample.place}: {sample.name} is not one of the {KINDS[found.modality].plural}."
            found.add("not_an_image", found.path(number), detail, as_severity="error")
    found.samples = kept


def _match_classes(found: Inventory, path: Path) -> None:
    """The classes of train; labels of other splits that it has not are problems."""
    train = [sample for sample in found.samples if sample.split == found.training_split]
    found.classes = tuple(sorted({name for sample in train for name in labels_of(sample.label)}))
    labels = sorted({name for sample in found.samples for name in labels_of(sample.label)})
    try:
        own = same_names(labels, found.classes, str(path), merged=True)
    except DataError as error:
        found.add("name_collision", path, str(error), as_severity="error")
        own = {name: name for name in found.classes}
    for number, sample in enumerate(found.samples):
        names = labels_of(sample.label)
        if strangers := [name for name in names if name not in own]:
            detail = f"{sample.place}: the label {strangers[0]} is nowhere in train."
            found.add("unknown_class", found.path(number), detail)
        else:
            matched = tuple(sorted({own[name] for name in names}))
            label = matched if isinstance(sample.label, tuple) else matched[0]
            found.samples[number] = replace(sample, label=label)
