"""A source is a list of labelled images; every kind of dataset becomes one."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.core.errors import UsageError
from resnets.modalities.image.preprocessing import Background, Color
from resnets.modalities.image.read.pillow import Pixels

SplitName = Literal["train", "val", "test", "all"]


class Dataset(Protocol):
    """Labelled images, by number."""

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
        """The image numbered `index`, in mode "RGB" or "L", put on `background` where it is transparent.

        Raises `DataError` if it is damaged.
        """
        ...

    def encoded(self, index: int) -> bytes | None:
        """The image's file, where it is one that can be read."""
        ...

    def name(self, index: int) -> str:
        """What a person would look for: a path, or a number."""
        ...

    def key(self, index: int) -> bytes:
        """The image's name within the dataset, the same wherever that lies: a path from its root, or a number."""
        ...


@dataclass(frozen=True)
class InMemoryDataset:
    """Images of one size, held in memory.

    Args:
        pixels: (N, channels, height, width) uint8.
        names: one an image; without them, images are called by `title` and number.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    pixels: Pixels
    title: str = "image"
    numbers: NDArray[np.int64] | None = None
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int, color: Color, background: Background | None = None) -> Image.Image:
        pixels = self.pixels[index]
        image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
        return image.convert("L" if color == "L" else "RGB")

    def encoded(self, index: int) -> bytes | None:
        return None

    def name(self, index: int) -> str:
        if self.names is not None:
            return self.names[index]
        return f"{self.title} {index if self.numbers is None else self.numbers[index]}"

    def key(self, index: int) -> bytes:
        return self.name(index).encode(errors="surrogateescape")


@dataclass(frozen=True)
class DatasetSplits:
    """The splits of a dataset, which have the same classes.

    Args:
        splits: by name; "all" alone is data that has none, such as a folder of classes.
        color: how the images are: "L" where all are grey by nature, else "RGB".
        notes: what a person should know about how the data was read, a line each.
        held_out: whether `val` was taken out of the training images; see `resnets.data.splits`.
    """

    splits: Mapping[SplitName, Dataset]
    color: Color = "RGB"
    notes: tuple[str, ...] = field(default=())
    held_out: bool = False

    @property
    def train(self) -> Dataset:
        """The images to learn from: all of them, where there are no splits."""
        return self.splits["train"] if "train" in self.splits else self.splits["all"]

    @property
    def watched(self) -> SplitName:
        """The split that training evaluates on: `val` where there is one, else `test`."""
        return "val" if "val" in self.splits else "test"

    @property
    def test(self) -> Dataset:
        """The images of `watched`."""
        return self.split(self.watched)

    @property
    def scored(self) -> SplitName:
        """The split that evaluation takes where none is asked for: `test`, else `val`, else all."""
        return next((name for name in ("test", "val", "all") if name in self.splits), "test")

    def split(self, name: SplitName) -> Dataset:
        """The split called `name`.

        Raises:
            UsageError: there is none.
        """
        if name not in self.splits:
            raise UsageError(f"The data has no split {name!r}: choose --split from {', '.join(self.splits)}.")
        return self.splits[name]


@dataclass(frozen=True)
class Subset:
    """Some images of another source, in the order of `indices`."""

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


def normalized(name: bytes) -> bytes:
    """A file's relative name as all systems agree on it: UTF-8, composed (NFC; macOS decomposes), forward slashes."""
    if name.isascii():
        return name
    return unicodedata.normalize("NFC", name.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def evenly_spaced(count: int, most: int) -> NDArray[np.int64]:
    """`most` of the numbers below `count`, first and last among them, rising; all where there are no more."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(np.int64)


def stratified_split(
    labels: NDArray[np.int64], held_out: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (kept, held out), each in rising order, with `held_out` samples shared among the classes by size.

    Each class gives its exact share rounded down; those with the largest remainders (ties: the lower label) give
    one more until the number is met.
    """
    classes, counts = np.unique(labels, return_counts=True)
    quota, remainders = np.divmod(counts * held_out, len(labels))
    largest = np.argsort(-remainders, kind="stable")
    quota[largest[: held_out - quota.sum()]] += 1
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:number]
        for label, number in zip(classes, quota, strict=True)
    ]
    out = np.sort(np.concatenate(chosen)).astype(np.int64)
    return np.setdiff1d(np.arange(len(labels)), out), out
