"""Groups that leak: samples of one scene, patient or video in two splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from resnets.checks.inventory import Inventory
from resnets.checks.problem import Problem

_SHOWN = 8


def leaks(inventory: Inventory) -> Iterator[Problem]:
    """Each group with samples in several splits, at its first sample out of train."""
    members: defaultdict[str, list[int]] = defaultdict(list)
    for number, sample in enumerate(inventory.samples):
        if sample.group is not None:
            members[sample.group].append(number)
    for group, numbers in members.items():
        splits = list(dict.fromkeys(inventory.samples[number].split for number in numbers))
        if len(splits) < 2:
            continue
        first = next(n for n in numbers if inventory.samples[n].split != splits[0])
        path, others = inventory.path(first), [inventory.path(n) for n in numbers if n != first][:_SHOWN]
        detail = f"{path}: the group {group} has {len(numbers):,} samples, in {' and '.join(splits)}."
        yield Problem("group_leak", path, detail, tuple(others))
