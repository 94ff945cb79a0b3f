"""Names that are one on some systems: those that differ in case, in Unicode's form, or in blanks at their ends."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator

from resnets.checks.inventory import Inventory
from resnets.checks.problem import Problem
from resnets.modalities.class_names import plain_name


def collisions(inventory: Inventory) -> Iterator[Problem]:
    """Files, their folders and classes with such names."""
    if inventory.in_memory is None:
        files = {sample.name for sample in inventory.samples}
        folders = {above for folder in {name.rpartition("/")[0] for name in files} for above in _and_above(folder)}
        for group in _alike(files | folders):
            paths = [os.path.join(inventory.root, name) for name in group]
            yield _problem(paths, [os.path.basename(name) for name in group])
    if not inventory.class_paths:  # else the folders of classes are among those above
        for group in _alike(inventory.classes):
            yield _problem([str(inventory.root)], group)


def _problem(paths: list[str], names: list[str]) -> Problem:
    shown = " and ".join(map(ascii, names))
    detail = f"{paths[-1]}: {shown} differ only in case, in blanks or in the form of their letters (NFC, NFD)."
    return Problem("name_collision", paths[-1], detail, tuple(paths[:-1]))


def _and_above(folder: str) -> list[str]:
    parts = folder.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _alike(names: Iterable[str]) -> list[list[str]]:
    """Those of `names` that are the same in their last part, and have the same folder."""
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name in names:
        folder, _, last = name.rpartition("/")
        groups[folder, last.strip().lower() if last.isascii() else plain_name(last).casefold()].append(name)
    return [sorted(group) for group in groups.values() if len(group) > 1]
