"""What the cells of a table say: the path of a sample, its split and its target."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

from resnets.core.errors import DataError, nearest
from resnets.core.files import is_file_name, parse_json
from resnets.core.typed import short
from resnets.modalities.base import SplitName

Value = str | float | tuple[str, ...]  # of `label`, `target` and `labels`
TASKS: Mapping[str, str] = {"label": "classification", "labels": "multi-label", "target": "regression"}
SPLIT_NAMES: Mapping[str, SplitName] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}
USED = ("path", *TASKS, "split", "group", "fold")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LARGEST = 3.4028234e38  # in float32


def target_column(columns: Iterable[str], place: str) -> str:
    """The column with the targets: "label", "labels" or "target".

    Args:
        place: the file and the line, for messages.

    Raises:
        DataError: a column is missing, or there are several with targets.
    """
    names = list(columns)
    if "path" not in names:
        raise DataError(f"{place} has no column path{_instead('path', names)}")
    found = [name for name in TASKS if name in names]
    if not found:
        raise DataError(f"{place} has no column label, labels or target{_instead('label', names)}")
    if len(found) > 1:
        raise DataError(f"{place} has the columns {' and '.join(found)}: keep one, which decides the task.")
    return found[0]


def _instead(wanted: str, names: list[str]) -> str:
    if "text" in names:
        return ": tables of text are not read by this version."
    if len(names) == 1 and (separator := next((each for each in "\t;|" if each in names[0]), None)):
        return f": its columns are separated by {separator!r}; use commas."
    near = nearest(wanted, names)
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return f", only {shown}: rename {near[0]}." if near else f", only {shown or 'nothing'}."


def parse_path(cell: Any, place: str) -> str:
    """The path of a sample, relative to the folder of the table, with no `.` and no `..` in it.

    Raises:
        DataError: it is empty, no path, absolute, or leads out of the folder.
    """
    if not isinstance(cell, str) or not cell.strip():
        raise DataError(f"{place} has no path.")
    if not is_file_name(cell):
        raise DataError(f"{place}: no file can be called {short(cell)}.")
    name = posixpath.normpath(cell)
    if posixpath.isabs(name) or re.match(r"[A-Za-z]:[\\/]|\\\\", cell):
        raise DataError(f"{place}: {cell} is absolute; paths are relative to the folder of the table.")
    if name == ".." or name.startswith("../"):
        raise DataError(f"{place}: {cell} is outside the folder of the table.")
    return name


def parse_split(cell: Any, place: str) -> SplitName:
    """The split of a row.

    Raises:
        DataError: there is none of this name.
    """
    name = SPLIT_NAMES.get(cell.strip().lower()) if isinstance(cell, str) else None
    if name is None:
        raise DataError(f"{place}: split is train, val or test, not {short(cell)}.")
    return name


def parse_tag(column: str, cell: Any, place: str) -> str:
    """The group or the fold of a row, as a text; empty where there is none.

    Args:
        column: "group" or "fold".
        cell: a text, or a value of JSON; whole numbers become their digits.

    Raises:
        DataError: it is of another kind.
    """
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, int) and not isinstance(cell, bool):
        return str(cell)
    if not isinstance(cell, str) or not _is_unicode(cell):
        raise DataError(f"{place}: {column} is a text or a whole number, not {short(cell)}.")
    return cell.strip()


def parse_target(column: str, cell: Any, place: str) -> Value:
    """The target of a row.

    Args:
        column: "label", "labels" or "target".
        cell: a text, or a value of JSON.

    Raises:
        DataError: it is empty, or of another kind.
    """
    if column == "label":
        return _label(cell, place)
    if column == "target":
        return _number(cell, place)
    if isinstance(cell, str):
        text = cell.strip()
        if not text:
            return ()
        if not text.startswith("["):
            return tuple(dict.fromkeys(_label(part, place) for part in text.split(";")))
        try:
            cell = parse_json(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place}: labels begins with [ and is no JSON list ({error}).") from None
    if not isinstance(cell, list):
        raise DataError(f'{place}: labels is a list such as ["cat", "dog"], not {short(cell)}.')
    return tuple(dict.fromkeys(_label(part, place) for part in cell))


def _label(cell: Any, place: str) -> str:
    if isinstance(cell, int) and not isinstance(cell, bool):
        return str(cell)
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise DataError(f"{place} has an empty label: fill it in, or take the row out.")
    if not isinstance(cell, str):
        raise DataError(f"{place}: a label is a text or a whole number, not {short(cell)}.")
    if not _is_unicode(cell):
        raise DataError(f"{place}: the label {short(cell)} has half of a character: write it in full.")
    return cell.strip()


def _is_unicode(text: str) -> bool:
    """Whether `text` can be written, which lone surrogates, as JSON's "\\ud800", cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(cell: Any, place: str) -> float:
    if isinstance(cell, str) and _NUMBER.fullmatch(cell.strip()):
        cell = float(cell)
    fits = isinstance(cell, int | float) and not isinstance(cell, bool) and abs(cell) <= _LARGEST
    if not fits or math.isnan(cell):
        raise DataError(f"{place}: target is no finite number (of float32), but {short(cell)}.")
    return float(cell)
