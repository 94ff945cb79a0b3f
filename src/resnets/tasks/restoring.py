"""Parts of answers as they are read back from JSON; each raises ValueError or TypeError for what is none."""

from __future__ import annotations

import math
from typing import Any

Box = tuple[float, float, float, float]  # left, top, right and bottom in pixels


def number(value: Any) -> float:
    """A number; NaN of None, as JSON has none."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number is none")
    return float(value)


def class_name(value: Any, classes: tuple[str, ...]) -> str:
    """One of `classes`."""
    if value not in classes:
        raise ValueError("a class is not the model's")
    return str(value)


def box(value: Any) -> Box:
    left, top, right, bottom = map(number, value)
    return left, top, right, bottom


def image_size(value: Any) -> tuple[int, int]:
    """Height and width in pixels."""
    height, width = value
    if type(height) is not int or type(width) is not int or min(height, width) < 1:
        raise ValueError("a size is none")
    return height, width
