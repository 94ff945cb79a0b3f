"""Groups that leak: samples of one scene, patient or video in two splits, or in two folds of a table."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator

from resnets.checks.inventory import Inventory
from resnets.checks.problem import Problem

_SHOWN = 8


def leaks(inventory: Inventory) -> Iterator[Problem]:
    """Each group with samples in several splits or folds, at its first sample out of the first of them."""
    members: defaultdict[str, list[int]] = defaultdict(list)
    for number, sample in enumerate(inventory.samples):
        if sample.group:
            members[unicodedata.normalize("NFC", sample.group)].append(number)
    for group, numbers in members.items():
        for where, parts in (
            ("", [inventory.samples[number].split for number in numbers]),
            ("the folds ", [inventory.samples[number].fold for number in numbers]),
        ):
            several = list(dict.fromkeys(part for part in parts if part))
            if len(several) < 2:
                continue
            first = next(n for n, part in zip(numbers, parts, strict=True) if part not in ("", several[0]))
            path, others = inventory.path(first), [inventory.path(n) for n in numbers if n != first][:_SHOWN]
            detail = f"{path}: the group {group} has {len(numbers):,} samples, in {where}{' and '.join(several)}."
            yield Problem("group_leak", path, detail, tuple(others))
