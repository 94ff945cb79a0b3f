"""What a notebook shows of an object: self-contained HTML in the colours of the page, so that it suits dark ones too.

Every text is escaped, and control characters appear as escapes.
"""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from resnets.core.console import printable

MOST_ROWS = 20
_LINE = "border-bottom:1px solid rgba(128,128,128,.35);padding:.15em .8em;text-align:"
_TABLE = "border-collapse:collapse;margin:.3em 0;background:none;color:inherit"


def text(value: object) -> str:
    """`value` as escaped HTML."""
    return html.escape(printable(str(value)))


def facts(title: str, rows: Mapping[str, object], links: Mapping[str, Path] | None = None, *below: str) -> str:
    """A heading, a table of names and values, and links to files.

    Args:
        links: what each link is called, and its file; files that do not exist are left out.
        below: HTML that follows, such as that of `table`.
    """
    lines = "".join(
        f'<tr><th style="{_LINE}left;font-weight:normal;opacity:.7">{text(name)}</th>'
        f'<td style="{_LINE}left">{text(value)}</td></tr>'
        for name, value in rows.items()
    )
    found = {name: path for name, path in (links or {}).items() if path.exists()}
    listed = " · ".join(
        f'<a style="color:inherit" href="{html.escape(_address(path))}">{text(name)}</a>'
        for name, path in found.items()
    )
    return (
        f'<div style="color:inherit;line-height:1.5;margin:.4em 0;overflow-x:auto"><strong>{text(title)}</strong>'
        f'<table style="{_TABLE}"><tbody>{lines}</tbody></table>{listed}{"".join(below)}</div>'
    )


def table(heading: Sequence[str], rows: Iterable[Sequence[object]], title: str = "", most: int = MOST_ROWS) -> str:
    """A table with its first column to the left and the others to the right, that a click on `title` shows or hides.

    Of more than `most` rows, it has the first, and says how many more there are.
    """
    rows = list(rows)
    cells = [_row("th", heading), *(_row("td", row) for row in rows[:most])]
    more = f"<div>and {len(rows) - most:,} more</div>" if len(rows) > most else ""
    shown = f'<table style="{_TABLE}">{"".join(cells)}</table>{more}'
    return f"<details><summary>{text(title)}</summary>{shown}</details>" if title else shown


def names(values: Sequence[str], most: int = 6) -> str:
    """The first of `values` for a line of text, such as "ant, bee and 8 more"."""
    listed = ", ".join(printable(value) for value in values[:most])
    return listed if len(values) <= most else f"{listed} and {len(values) - most:,} more"


def _row(tag: str, cells: Sequence[object]) -> str:
    aligned = (
        f'<{tag} style="white-space:nowrap;{_LINE}{"right" if number else "left"}">{text(cell)}</{tag}>'
        for number, cell in enumerate(cells)
    )
    return f"<tr>{''.join(aligned)}</tr>"


def _address(path: Path) -> str:
    """A relative link below the working folder, which notebook servers serve, else a file's address."""
    absolute = path.resolve()
    if absolute.is_relative_to(Path.cwd()):
        return quote(os.fsencode(absolute.relative_to(Path.cwd()).as_posix()))
    return absolute.as_uri()
