"""What a notebook shows of an object: self-contained HTML in the colours of the page, so that it suits dark ones too.

It is rendered by the template `display.html` with autoescape, and control characters appear as escapes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from resnets.core.console import printable

MOST_ROWS = 20


def facts(title: str, rows: Mapping[str, object], links: Mapping[str, Path] | None = None, *below: str) -> str:
    """A heading, a table of names and values, and links to files.

    Args:
        links: what each link is called, and its file; files that do not exist are left out.
        below: HTML that follows, such as that of `table`.
    """
    from markupsafe import Markup

    found = [(name, _address(path)) for name, path in (links or {}).items() if path.exists()]
    return str(_macros().facts(title, list(rows.items()), found, [Markup(each) for each in below]))


def table(heading: Sequence[str], rows: Iterable[Sequence[object]], title: str = "", most: int = MOST_ROWS) -> str:
    """A table with its first column to the left and the others to the right, that a click on `title` shows or hides.

    Of more than `most` rows, it has the first, and says how many more there are.
    """
    rows = list(rows)
    hidden = f"{len(rows) - most:,}" if len(rows) > most else ""
    return str(_macros().table(heading, rows[:most], title, hidden))


def names(values: Sequence[str], most: int = 6) -> str:
    """The first of `values` for a line of text, such as "ant, bee and 8 more"."""
    listed = ", ".join(printable(value) for value in values[:most])
    return listed if len(values) <= most else f"{listed} and {len(values) - most:,} more"


@cache
def _macros() -> Any:
    """The macros of the template."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, finalize=_shown, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(Path(__file__).with_suffix(".html").read_text("utf-8")).module


def _shown(value: object) -> object:
    """`value` as the template shows it: HTML, which macros return, as it is."""
    return value if hasattr(value, "__html__") else printable(str(value))


def _address(path: Path) -> str:
    """A relative link below the working folder, which notebook servers serve, else a file's address."""
    absolute = path.resolve()
    if absolute.is_relative_to(Path.cwd()):
        return quote(os.fsencode(absolute.relative_to(Path.cwd()).as_posix()))
    return absolute.as_uri()
