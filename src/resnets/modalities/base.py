"""A dataset is one split: labelled samples by number. Every kind of data becomes one for each of its splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.core.errors import UsageError
from resnets.core.renamed import renamed_fields
from resnets.modalities.image.preprocessing import Background, Color

SplitName = Literal["train", "val", "test", "all"]


class Dataset(Protocol):
    """One split of labelled images, by number from 0."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of their labels."""
        ...

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,)"""
        ...

    def __len__(self) -> int: ...

    def image(self, index: int, color: Color, background: Background | None = None) -> Image.Image:
        """The decoded image `index`, in mode "RGB" or "L", composited on `background` where it is transparent.

        Raises:
            DataError: the image is damaged.
        """
        ...

    def encoded(self, index: int) -> bytes | None:
        """The bytes of the image's file; None where the image is no file, or the file cannot be read."""
        ...

    def name(self, index: int) -> str:
        """What messages call the image: its path, or a number."""
        ...

    def key(self, index: int) -> bytes:
        """The image's name within the dataset, the same wherever that is stored: a path from its root, or a number."""
        ...


@dataclass(frozen=True)
class DatasetSplits:
    """The splits of some data; all have the same classes.

    Args:
        splits: by name; "all" alone is data without splits, such as a folder of classes.
        color: "L" where all images are grey by nature, else "RGB".
        notes: what the user should know about how the data was read, a line each.
        held_out: whether `val` was taken out of the training images; see `resnets.data.splits`.
    """

    splits: Mapping[SplitName, Dataset]
    color: Color = "RGB"
    notes: tuple[str, ...] = field(default=())
    held_out: bool = False

    @property
    def train(self) -> Dataset:
        """The training split; all of the data, where there are no splits."""
        return self.splits["train"] if "train" in self.splits else self.splits["all"]

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


@renamed_fields
@dataclass(frozen=True)
class Subset:
    """The samples `indices` (N,) of another dataset, in that order."""

    dataset: Dataset
    indices: NDArray[np.int64]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.dataset.classes

    @property
    def labels(self) -> NDArray[np.int64]:
        return self.dataset.labels[self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def image(self, index: int, color: Color, background: Background | None = None) -> Image.Image:
        return self.dataset.image(int(self.indices[index]), color, background)

    def encoded(self, index: int) -> bytes | None:
        return self.dataset.encoded(int(self.indices[index]))

    def name(self, index: int) -> str:
        return self.dataset.name(int(self.indices[index]))

    def key(self, index: int) -> bytes:
        return self.dataset.key(int(self.indices[index]))
