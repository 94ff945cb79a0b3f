"""Classes: empty ones, those with a single sample, those that a split lacks, and imbalance."""

from __future__ import annotations

from collections.abc import Iterator

from resnets.checks.inventory import Inventory, labels_of
from resnets.checks.problem import Problem
from resnets.core.units import show_count

IMBALANCE = 10  # times the samples of the smallest class that the largest may have


def small_classes(inventory: Inventory) -> Iterator[Problem]:
    """Classes with one sample to learn from."""
    split = inventory.training_split
    for name, count in inventory.class_counts(split).items():
        if count == 1:
            path = _path(inventory, name)
            of_split = (i for i, each in enumerate(inventory.samples) if each.split == split)
            only = next(i for i in of_split if name in labels_of(inventory.samples[i].label))
            yield Problem("small_class", path, f"{path}: the class {name} has one sample.", (inventory.path(only),))


def missing_classes(inventory: Inventory) -> Iterator[Problem]:
    """Classes of train that another split lacks, and declared ones that another split has and train lacks. (A folder of
    the class that is empty is named by the listing, and classes without boxes with the boxes.)"""
    train = inventory.class_counts(inventory.training_split)
    for split in inventory.split_counts:
        if split == inventory.training_split:
            continue
        counts = inventory.class_counts(split)
        for name in (name for name, count in train.items() if count and not counts[name]):
            if (split, name) not in inventory.class_paths:
                path = _path(inventory, name)
                detail = f"{path}: the class {name} has {train[name]:,} samples to learn from, and {split} has none."
                yield Problem("missing_class", path, detail)
        for name, count in train.items():
            declared = (inventory.training_split, name) not in inventory.class_paths and inventory.boxes is None
            if count or not counts[name] or not declared:
                continue
            detail = (
                f"{inventory.root}: {split} has {show_count(counts[name], 'sample')} of the class {name}, and train "
                "has none."
            )
            yield Problem("missing_class", str(inventory.root), detail)


def imbalance(inventory: Inventory) -> Iterator[Problem]:
    """The smallest and the largest class, where their counts are far apart."""
    counts = {name: count for name, count in inventory.class_counts(inventory.training_split).items() if count}
    if not counts:
        return
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[most] >= IMBALANCE * counts[least]:
        path = _path(inventory, least)
        detail = (
            f"{path}: the class {least} has {counts[least]:,} samples, and {most} has {counts[most]:,}, "
            f"{counts[most] / counts[least]:.0f} times as many."
        )
        yield Problem("imbalance", path, detail, (_path(inventory, most),))


def _path(inventory: Inventory, name: str) -> str:
    """The folder of a class of train; of a table, the data itself."""
    return inventory.class_paths.get((inventory.training_split, name), str(inventory.root))
