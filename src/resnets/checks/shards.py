"""Shards of WebDataset: damaged ones, images without a label and labels without an image, labels that are no class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from resnets.checks.inventory import Inventory, from_splits
from resnets.modalities.faults import Faults
from resnets.modalities.image.datasets.webdataset import open_webdataset


def list_shards(path: Path) -> Inventory:
    """The images in the shards of `path`, a folder or one shard.

    Raises:
        DataError: there are no shards, or none of train.
    """
    faults: Faults = []
    splits = open_webdataset(path, faults)
    found = from_splits(str(path), replace(splits, format="webdataset"))
    for fault in faults:
        found.add(fault.kind, fault.path, fault.message, as_severity="warning" if fault.is_note else None)
    return found
