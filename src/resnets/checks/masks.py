"""Images with masks: images without one, masks of no image, other sizes, values that are no class."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from resnets.checks.content import kind_of_damage
from resnets.checks.inventory import Inventory, Sample
from resnets.checks.problem import Problem
from resnets.checks.scan import Contents
from resnets.core.errors import DataError
from resnets.modalities.faults import Faults
from resnets.modalities.image.datasets import mask_files, masks
from resnets.modalities.image.read.mask import VOID, mask_size, read_mask

_SHOWN = 8


def list_masks(root: Path) -> Inventory:
    """The images of `root` and their masks, in the layouts of `mask_files.find_pairs`.

    Raises:
        DataError: there are none.
    """
    found = Inventory(root, "masks", "image")
    faults: Faults = []
    pairs, _ = mask_files.find_pairs(root, faults)
    for fault in faults:
        found.add(fault.kind, fault.path, fault.message, as_severity="error")
    for split, listed in pairs.items():
        found.samples += [Sample(os.fsdecode(image), split, mask=os.fsdecode(mask)) for image, mask in listed]
    found.values = _named_values(found)
    names = found.values or {}
    found.classes = tuple(name for value, name in names.items() if value != VOID)
    return found


def _named_values(found: Inventory) -> dict[int, str] | None:
    """The names of the values, by a file; None where there is none, or where it cannot be read."""
    try:
        named = masks.values_in(found.root)
    except DataError as error:
        file = next(name for name in (masks.CLASSES_FILE, masks.CLASSES_YAML) if (found.root / name).exists())
        found.add("bad_row", found.root / file, str(error))
        return None
    return None if named is None else dict(named)


def mask_problems(inventory: Inventory, contents: Contents) -> Iterator[Problem]:
    """Masks that cannot be read, have another size than their image, or a value that is no class.

    Without `classes.txt` the values that the masks of train have are the classes, as in training, so that a value is
    wrong where another split has it alone.
    """
    numbers = [number for number, sample in enumerate(inventory.samples) if sample.mask]
    if not numbers:
        return
    with ThreadPoolExecutor(contents.threads) as pool:
        found = pool.map(lambda number: _read(inventory, number, contents.fast), numbers)
        read = dict(zip(numbers, found, strict=True))
    sizes = contents.upright_sizes().tolist()
    known = set(inventory.values) if inventory.values is not None else _seen(inventory, read)
    for number, (values, size, message) in read.items():
        path, image = os.path.join(inventory.root, inventory.samples[number].mask), inventory.path(number)
        if message:
            yield Problem(_kind(message, path), path, message, (image,))
            continue
        height, width = sizes[number]
        if width and (width, height) != size:
            detail = f"{path} has {size[0]} x {size[1]} pixels, and its image, upright, {width} x {height}."
            yield Problem("mask_size", path, detail, (image,))
        if strangers := sorted(set(values) - known - {VOID}):
            shown = ", ".join(map(str, strangers[:_SHOWN]))
            detail = f"{path} has the value {shown}, which is no class. To leave pixels of it out: task.ignore=VALUE."
            yield Problem("mask_value", path, detail, (image,))
    if not contents.fast:
        _count(inventory, read, known)


def _kind(message: str, path: str) -> str:
    """The kind of the problem of a mask that cannot be read."""
    if not os.path.exists(path):
        return "missing_annotation"
    said = message.replace(path, "")
    if any(each in said for each in (" mask", "has the segment", "is of mode")):  # no mask, or one with other values
        return "mask_value"
    return kind_of_damage(message, Path(path), path)


_Mask = tuple[tuple[int, ...], tuple[int, int], str]  # values, width and height, and why it cannot be read


def _read(inventory: Inventory, number: int, fast: bool) -> _Mask:
    path = Path(inventory.root, inventory.samples[number].mask)
    try:
        if fast:
            height, width = mask_size(path)
            return (), (width, height), ""
        mask = read_mask(path) if inventory.mask is None else inventory.mask(number)
    except DataError as error:
        return (), (0, 0), str(error)
    values = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    return tuple(values.tolist()), (mask.shape[1], mask.shape[0]), ""


def _seen(inventory: Inventory, read: dict[int, _Mask]) -> set[int]:
    """The values in the masks of train."""
    split = inventory.training_split
    return {value for n, (values, _, _) in read.items() if inventory.samples[n].split == split for value in values}


def _count(inventory: Inventory, read: dict[int, _Mask], known: set[int]) -> None:
    """Notes in the inventory how many masks have each class."""
    names = inventory.values or {value: str(value) for value in sorted(known)}
    found = Counter(value for values, _, _ in read.values() for value in values)
    inventory.mask_counts = {name: found[value] for value, name in names.items() if value != VOID}
    inventory.classes = tuple(inventory.mask_counts)
