"""Names that are shortened to the room that there is for them."""

from __future__ import annotations

import re
import unicodedata

WIDTH = 24  # letters; those of East Asia that are as wide as high count twice
BELOW = 18  # the same, for the width of an image of the page


def shortened(name: str, width: int = WIDTH) -> str:
    """`name`, of which the middle is left out where it is wider than `width`: long names often begin alike."""
    if _width(name) <= width:
        return name
    start, end = _within(name, width // 2), _within(name[::-1], width - width // 2 - 1)[::-1]
    return f"{start.rstrip()}…{end.lstrip()}"


def short_path(name: str) -> str:
    """The last two parts of a path, or another name, in a line below an image."""
    return shortened("/".join(re.split(r"[/\\]", name)[-2:]), BELOW)


def _within(text: str, width: int) -> str:
    """The longest start of `text` that is no wider than `width`."""
    used = 0
    for number, character in enumerate(text):
        used += _width(character)
        if used > width:
            return text[:number]
    return text


def _width(text: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)
