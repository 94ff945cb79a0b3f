"""All checks, each with the kinds that it can report, and which of them read the contents of files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from resnets.checks import boxes, classes, duplicates, groups, images, masks, names, sounds
from resnets.checks.inventory import Inventory
from resnets.checks.problem import Problem
from resnets.checks.scan import Contents

DAMAGE = frozenset({"unreadable", "truncated", "empty_file", "too_large", "missing_file"})  # what reading finds


@dataclass(frozen=True)
class Check:
    """One check.

    Args:
        kinds: what it can report; it runs where one of them is wanted.
        run: finds the problems.
        modalities: those whose data it is for.
        reads: whether it needs the contents of files.
    """

    kinds: frozenset[str]
    run: Callable[[Inventory, Contents], Iterator[Problem]]
    modalities: tuple[str, ...] = ("image", "audio")
    reads: bool = False


def _of_names(check: Callable[[Inventory], Iterator[Problem]]) -> Callable[[Inventory, Contents], Iterator[Problem]]:
    return lambda inventory, _: check(inventory)


CHECKS: dict[str, Check] = {
    "facts of images": Check(images.FACT_KINDS, images.facts, ("image",), True),
    "sizes of images": Check(frozenset({"odd_size"}), images.sizes, ("image",), True),
    "names": Check(frozenset({"name_collision"}), _of_names(names.collisions)),
    "small classes": Check(frozenset({"small_class"}), _of_names(classes.small_classes)),
    "missing classes": Check(frozenset({"missing_class"}), _of_names(classes.missing_classes)),
    "imbalance": Check(frozenset({"imbalance"}), _of_names(classes.imbalance)),
    "duplicates": Check(
        frozenset({"duplicate", "split_leak", "label_conflict"}), duplicates.duplicates, reads=True
    ),
    "near duplicates": Check(frozenset({"near_duplicate"}), duplicates.near_duplicates, ("image",), True),
    "masks": Check(DAMAGE | {"mask_size", "mask_value"}, masks.mask_problems, ("image",), True),
    "boxes": Check(boxes.KINDS, boxes.box_problems, ("image",), True),
    "recordings": Check(frozenset({"constant", "odd_size"}), sounds.recordings, ("audio",), True),
    "groups": Check(frozenset({"group_leak"}), _of_names(groups.leaks)),
}  # fmt: skip
