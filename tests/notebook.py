"""A terminal and a notebook that remember what they show."""

from __future__ import annotations

import io
from typing import Any


class Terminal(io.StringIO):
    """A terminal in memory."""

    def isatty(self) -> bool:
        return True


class Display:
    """Stands for `IPython.display`: outputs that a cell has, each of which may be updated.

    Attributes:
        shown: the content of each output, by kind.
        updates: number of changes of an output.
    """

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []
        self.updates = 0

    def display(self, content: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw
        assert display_id
        self.shown.append(content)
        return _Handle(self, len(self.shown) - 1)

    def texts(self) -> list[str]:
        return [each["text/plain"] for each in self.shown]


class _Handle:
    def __init__(self, display: Display, number: int) -> None:
        self._display = display
        self._number = number

    def update(self, content: dict[str, str], *, raw: bool) -> None:
        assert raw
        self._display.shown[self._number] = content
        self._display.updates += 1
