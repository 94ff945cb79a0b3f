"""A dataset is one split: samples by number, each with what is to be predicted of it.

Every kind of data becomes one for each of its splits. How samples become a network's input is in `modalities.reader`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError, UsageError
from resnets.core.renamed import renamed_fields
from resnets.modalities.file_names import Names

SplitName = Literal["train", "val", "test", "all"]
Arrays = dict[str, NDArray[Any]]
NOUNS = {"image": "image", "audio": "recording"}  # what messages call a sample, by modality


@dataclass(frozen=True)
class OnDisk:
    """The files of a dataset, one a sample.

    Args:
        names: (N,) relative to `root`, such as b"cat/1.jpg".
    """

    root: Path
    names: Names

    def path(self, index: int) -> Path:
        """The file of sample `index`."""
        return self.root / os.fsdecode(self.names[index])

    def encoded(self, index: int) -> bytes | None:
        """The bytes of that file; None where it cannot be read."""
        try:
            return self.path(index).read_bytes()
        except OSError:
            return None


class Dataset(Protocol):
    """One split: samples by number from 0. Each modality adds how its samples are read, such as `ImageDataset`."""

    @property
    def modality(self) -> str:
        """What the samples are: "image" or "audio"."""
        ...

    @property
    def task(self) -> str:
        """The task that the targets are for, by its name in model files, such as "classification"."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of their numbers in the targets; of a regression, the names of the numbers."""
        ...

    @property
    def targets(self) -> Mapping[str, NDArray[Any]]:
        """What is to be predicted, by name, with a row a sample; without what is read with each sample, such as masks.

        "labels" is (N,) int64 for classification and (N, classes) uint8 of 0 and 1 for several labels; "target" is
        (N,) float32.
        """
        ...

    @property
    def strata(self) -> NDArray[np.int64]:
        """(N,) the class by which samples are held out: the label where each sample has one, else 0."""
        ...

    @property
    def on_disk(self) -> tuple[OnDisk, ...]:
        """The files of the samples, then those of their targets, if any; empty where samples are no files."""
        ...

    def __len__(self) -> int: ...

    def target(self, index: int) -> Arrays:
        """The targets of a sample, those that are read with it among them.

        Raises:
            DataError: a file is damaged.
        """
        ...

    def encoded(self, index: int) -> bytes | None:
        """The bytes of the sample's file; None where the sample is no file, or the file cannot be read."""
        ...

    def fingerprint(self, index: int) -> bytes:
        """The content of a sample that is no file, or of an annotation that is none of its own, for a hash over the
        data; else empty."""
        ...

    def name(self, index: int) -> str:
        """What messages call the sample: its path, or a number."""
        ...

    def key(self, index: int) -> bytes:
        """The sample's name within the dataset, the same wherever that is stored: a path from its root, or a number."""
        ...


@dataclass(frozen=True)
class DatasetSplits:
    """The splits of some data; all have the same classes.

    Args:
        splits: by name; "all" alone is data without splits, such as a folder of classes.
        color: "L" where all images are grey by nature, else "RGB".
        notes: what the user should know about how the data was read, a line each.
        leak: says that a model which is evaluated was trained on samples of these splits, where it was.
        held_out: whether `val` was taken out of the training samples, or `test` is a fold of all of them; see
            `resnets.data.splits`.
        is_pooled: whether `train` and `test` are folds of the samples of all splits; see `resnets.data.folds`.
        uses_group_column: whether the column `group` of a table decided what was held out.
        format: what was recognised, as `--format` names it; "" for data by name.
    """

    splits: Mapping[SplitName, Dataset]
    color: Literal["RGB", "BGR", "L"] = "RGB"
    notes: tuple[str, ...] = field(default=())
    leak: str | None = None
    held_out: bool = False
    format: str = ""
    is_pooled: bool = False
    uses_group_column: bool = False

    @property
    def train(self) -> Dataset:
        """The training split; all of the data, where there are no splits.

        Raises:
            DataError: there are others alone, such as `test`.
        """
        for name in ("train", "all"):
            if name in self.splits:
                return self.splits[name]
        raise DataError(f"The data has {', '.join(self.splits)}, and no train to learn from: add it.")

    @property
    def watched(self) -> SplitName:
        """The split that training evaluates on: `val` where there is one, else `test`."""
        return "val" if "val" in self.splits else "test"

    @property
    def test(self) -> Dataset:
        """The dataset of `watched`."""
        return self.split(self.watched)

    @property
    def scored(self) -> SplitName:
        """The split that `evaluate` takes by default: `test`, else `val`, else all."""
        return next((name for name in ("test", "val", "all") if name in self.splits), "test")

    def split(self, name: SplitName) -> Dataset:
        """The split called `name`.

        Raises:
            UsageError: there is none.
        """
        if name not in self.splits:
            raise UsageError(f"The data has no split {name!r}: choose --split from {', '.join(self.splits)}.")
        return self.splits[name]

    def changed(self, change: Callable[[Dataset], Dataset]) -> DatasetSplits:
        """With `change` made to each dataset once, so that splits which are parts of one stay parts of one."""
        done: dict[int, Dataset] = {}

        def changed(dataset: Dataset) -> Dataset:
            if isinstance(dataset, Subset):
                return Subset(changed(dataset.dataset), dataset.indices)
            if id(dataset) not in done:
                done[id(dataset)] = change(dataset)
            return done[id(dataset)]

        return replace(self, splits={name: changed(each) for name, each in self.splits.items()})


@renamed_fields
@dataclass(frozen=True)
class Subset:
    """The samples `indices` (N,) of another dataset, in that order."""

    dataset: Dataset
    indices: NDArray[np.int64]

    @property
    def modality(self) -> str:
        return self.dataset.modality

    @property
    def task(self) -> str:
        return self.dataset.task

    @property
    def classes(self) -> tuple[str, ...]:
        return self.dataset.classes

    @property
    def targets(self) -> Mapping[str, NDArray[Any]]:
        return {name: values[self.indices] for name, values in self.dataset.targets.items()}

    @property
    def strata(self) -> NDArray[np.int64]:
        return self.dataset.strata[self.indices]

    @property
    def on_disk(self) -> tuple[OnDisk, ...]:
        return tuple(OnDisk(each.root, each.names[self.indices]) for each in self.dataset.on_disk)

    def __len__(self) -> int:
        return len(self.indices)

    def target(self, index: int) -> Arrays:
        return self.dataset.target(int(self.indices[index]))

    def encoded(self, index: int) -> bytes | None:
        return self.dataset.encoded(int(self.indices[index]))

    def fingerprint(self, index: int) -> bytes:
        return self.dataset.fingerprint(int(self.indices[index]))

    def image(self, index: int, *how: Any) -> Any:
        """As the dataset's own `image`, of a dataset of images."""
        dataset, number = whole(self, index)
        return dataset.image(number, *how)

    def name(self, index: int) -> str:
        return self.dataset.name(int(self.indices[index]))

    def key(self, index: int) -> bytes:
        return self.dataset.key(int(self.indices[index]))


def whole(dataset: Any, index: int) -> tuple[Any, int]:
    """The dataset that `dataset` is a subset of, and the number that sample `index` has there."""
    while isinstance(dataset, Subset):
        dataset, index = dataset.dataset, int(dataset.indices[index])
    return dataset, index
