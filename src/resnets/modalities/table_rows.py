"""The rows of a CSV or JSON lines file, with the line on which each begins. Nothing is guessed: what is odd is refused.

CSV is read as RFC 4180 has it, in UTF-8: commas, a header, fields quoted with `"` where they need it, lines that end
with LF or CRLF. JSON lines have an object on each line.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from resnets.core.errors import DataError
from resnets.core.files import explain, parse_json
from resnets.core.typed import short

TableFormat = Literal["csv", "jsonl"]
LONGEST_LINE = 2**20  # bytes; csv allows 131,072 characters a field
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Args:
        line: on which it begins, from 1.
        cells: by the names of the columns; texts in CSV, any JSON values in JSON lines.
    """

    line: int
    cells: Mapping[str, Any]


def read_rows(path: Path, format: TableFormat) -> Iterator[Row]:
    """The rows of the table in the file `path`; blank lines are skipped.

    Raises:
        DataError: the file is missing, is not text in UTF-8, or a line is not of the format.
    """
    return _csv_rows(path) if format == "csv" else _json_rows(path)


def read_header(path: Path, format: TableFormat) -> tuple[str, ...]:
    """The names of the columns; of JSON lines, those of the first row. Empty where there are none.

    Raises:
        DataError: see `read_rows`.
    """
    if format == "csv":
        return _header(path, next(_csv_lines(path, csv.reader(_lines(path), strict=True)), (1, []))[1])
    first = next(_json_rows(path), None)
    return tuple(first.cells) if first else ()


def _csv_rows(path: Path) -> Iterator[Row]:
    lines = _csv_lines(path, csv.reader(_lines(path), strict=True))
    _, first = next(lines, (1, []))
    header = _header(path, first)
    for line, cells in lines:
        if len(cells) != len(header):
            raise DataError(
                f"{path}, line {line} has {len(cells)} fields, and the header {len(header)}: put quotes around a field "
                "with a comma."
            )
        yield Row(line, dict(zip(header, cells, strict=True)))


def _csv_lines(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """The first line and the fields of each record; blank lines are skipped."""
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "new-line" in str(error):
                raise DataError(
                    f"{path}, line {line} has a carriage return (CR) without a line feed: save it with usual line ends."
                ) from None
            raise DataError(
                f"{path}, line {line} is not CSV ({error}). Is a quote never closed? Within quotes, a quote is doubled."
            ) from None
        if any(field.strip() for field in fields):
            yield line, fields


def _header(path: Path, fields: list[str]) -> tuple[str, ...]:
    names = tuple(field.strip() for field in fields)
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise DataError(f"{path} has two columns called {repeated!r}: rename one.")
    return names


def _json_rows(path: Path) -> Iterator[Row]:
    for line, text in enumerate(_lines(path), start=1):
        if not text.strip():
            continue
        try:
            cells = parse_json(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {line} is not JSON ({error}). Write one object on each line.") from None
        if not isinstance(cells, dict):
            raise DataError(f"{path}, line {line} is no JSON object, but {short(cells)}.")
        yield Row(line, cells)


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text in UTF-8 with their ends, without a byte order mark."""
    try:
        with open(path, "rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if number == 1:
                    if line.startswith(_UTF16):
                        raise DataError(f"{path} is in UTF-16: save it as UTF-8.")
                    line = line.removeprefix(_BOM)
                yield _text(path, number, line)
    except OSError as error:
        raise DataError(str(explain("read", path, error))) from error


def _text(path: Path, number: int, line: bytes) -> str:
    if b"\0" in line:
        raise DataError(f"{path}, line {number} has a byte 0: it is a binary file and no table.")
    if len(line) > LONGEST_LINE:
        raise DataError(
            f"{path}, line {number} has more than {LONGEST_LINE:,} bytes: a table has a short line for each sample."
        )
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise DataError(f"{path}, line {number} is not UTF-8: save the file as UTF-8.") from None
