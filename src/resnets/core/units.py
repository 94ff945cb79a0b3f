"""Sizes in bytes and in pixels, and counts as text: parsing and formatting."""

from __future__ import annotations

import re
from collections.abc import Iterable

from resnets.core.errors import UsageError
from resnets.core.typed import short

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def parse_bytes(text: str) -> int:
    """The number of bytes in a text such as "2GiB", "500 MB" or "1.5g".

    Raises:
        UsageError: it is not a size in bytes, or below 1 byte.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?i?)b?\s*", text.lower())
    count = float(match[1]) * _UNITS[match[2]] if match and match[2] in _UNITS else 0
    if not 1 <= count < 2**63:
        raise UsageError(f"{short(text)} is not a valid size: write 2GiB or 500MiB.")
    return int(count)


def parse_size(text: str | int | tuple[int, ...]) -> int | tuple[int, ...]:
    """The size of an input in pixels: one number, or (height, width) of a text such as "480x360", which is 480 wide.

    Raises:
        UsageError: it is none of these.
    """
    if not isinstance(text, str):
        return text
    match = re.fullmatch(r"([0-9]{1,9})(?:x([0-9]{1,9}))?", text.strip().lower())
    if match is None:
        raise UsageError(f"size takes a whole number or WIDTHxHEIGHT, such as 480x360, not {short(text)}.")
    return int(match[1]) if match[2] is None else (int(match[2]), int(match[1]))


def show_size(size: int | tuple[int, ...]) -> str:
    """`size` as `parse_size` reads it: "224", or "480x360" for (360, 480)."""
    return str(size) if isinstance(size, int) else "x".join(map(str, reversed(size)))


def show_bytes(count: float) -> str:
    """`count` bytes in MiB, or in GiB from 10 GiB up: "512 MiB", "11.5 GiB"."""
    return f"{count / 2**20:,.0f} MiB" if count < 10 * 2**30 else f"{count / 2**30:,.1f} GiB"


def show_count(count: int, noun: str, plural: str | None = None) -> str:
    """ "1 thread", "2 threads", "1,000 threads".

    Args:
        plural: of `noun`; None appends an s.
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def some(names: Iterable[str], most: int = 8) -> str:
    """The first of `names`, and how many more there are."""
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most:,} more" if len(listed) > most else "")
