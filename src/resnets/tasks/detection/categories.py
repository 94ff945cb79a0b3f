"""What data calls its classes: the numbers that COCO's files have, which may have gaps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from resnets.modalities.class_names import same_names


def category_ids(dataset: Any) -> tuple[int, ...]:
    """The number of each class of a dataset, or of what it is a part of; from 1 on where it has none."""
    whole = dataset
    while not hasattr(whole, "category_ids") and hasattr(whole, "dataset"):
        whole = whole.dataset
    return tuple(getattr(whole, "category_ids", range(1, len(dataset.classes) + 1)))


def categories(dataset: Any, classes: tuple[str, ...], own: Sequence[int] | None) -> dict[int, str]:
    """The name of each of the model's `classes` by number, in the order of the model.

    A class has the number that the dataset gives it; one that the dataset lacks has the model's own or the next that is
    free.

    Args:
        own: of the model's classes; None where it knows none.
    """
    known = same_names(dataset.classes, classes, "The data")
    numbers = {
        known[name]: number
        for name, number in zip(dataset.classes, category_ids(dataset), strict=True)
        if name in known
    }
    return _numbered(classes, numbers, own)


def _numbered(classes: tuple[str, ...], numbers: dict[str, int], own: Sequence[int] | None) -> dict[int, str]:
    taken = set(numbers.values())
    free = (number for number in count(1) if number not in taken)
    for place, name in enumerate(classes):
        if name not in numbers:
            wanted = own[place] if own is not None and own[place] not in taken else next(free)
            taken.add(wanted)
            numbers[name] = wanted
    return {numbers[name]: name for name in classes}
