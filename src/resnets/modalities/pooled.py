"""All samples of some data as one dataset, whatever splits they are in."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError
from resnets.modalities.audio.datasets.folder import SoundFolder
from resnets.modalities.base import Dataset, DatasetSplits, Subset
from resnets.modalities.concatenated import ConcatDataset
from resnets.modalities.file_names import Names
from resnets.modalities.image.datasets.folder import FolderDataset


def pooled(splits: DatasetSplits) -> Dataset:
    """One dataset of the samples of all splits, in the order train, val, test.

    Of folders, names begin at the folder that holds those of the splits, such as "train/cat/1.jpg".

    Raises:
        DataError: the splits are of a kind that cannot be put together.
    """
    parts = list(splits.splits.values())
    if len(parts) == 1:
        return parts[0]
    wholes = [_whole(each) for each in parts]
    if all(whole is wholes[0][0] for whole, _ in wholes):
        indices = np.unique(np.concatenate([indices for _, indices in wholes]))
        return wholes[0][0] if len(indices) == len(wholes[0][0]) else Subset(wholes[0][0], indices)
    if all(isinstance(each, FolderDataset | SoundFolder) for each in parts):
        return _folders(parts)
    if not any(each.on_disk for each in parts) and len({each.classes for each in parts}) == 1:
        return _concatenated(parts)
    raise DataError(
        "Folds are of all samples of the data, and its splits cannot be put together: give it without splits, or as a "
        "table (.csv or .jsonl) with a row for each sample."
    )


def _whole(dataset: Dataset) -> tuple[Dataset, NDArray[np.int64]]:
    """The dataset that `dataset` is a part of, and (N,) the numbers of its samples there."""
    if isinstance(dataset, Subset):
        whole, indices = _whole(dataset.dataset)
        return whole, indices[dataset.indices]
    return dataset, np.arange(len(dataset))


def _concatenated(parts: list[Dataset]) -> Dataset:
    whole = ConcatDataset(tuple(parts))
    keys = [whole.key(index) for index in range(len(whole))]
    if len(set(keys)) < len(keys):
        repeated = next(key for key, count in Counter(keys).items() if count > 1).decode(errors="surrogateescape")
        raise DataError(f"Two splits have a sample called {repeated}: folds need names that differ.")
    return whole


def _folders(parts: list[Any]) -> Dataset:
    root = parts[0].root.parent
    prefixes = [os.fsencode(part.root.relative_to(root)) for part in parts]
    files = Names.of(prefix + b"/" + file for prefix, part in zip(prefixes, parts, strict=True) for file in part.files)
    labels = np.concatenate([part.labels for part in parts])
    whole: Dataset = replace(parts[0], root=root, labels=labels, files=files)
    return whole
