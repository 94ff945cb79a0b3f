"""A source is a list of labelled pictures; every kind of dataset becomes one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.data.pictures import Pixels
from resnets.preprocessing import Color


class Source(Protocol):
    """Labelled pictures, by number."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of their labels."""
        ...

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,)"""
        ...

    def __len__(self) -> int: ...

    def picture(self, index: int, color: Color) -> Image.Image:
        """The picture numbered `index`, in mode "RGB" or "L". Raises `DataError` if it is damaged."""
        ...

    def encoded(self, index: int) -> bytes | None:
        """The picture's file, where it is one that can be read."""
        ...

    def name(self, index: int) -> str:
        """What a person would look for: a path, or a number."""
        ...


@dataclass(frozen=True)
class PixelSource:
    """Pictures of one size, held in memory.

    Args:
        pixels: (N, channels, height, width) uint8.
        names: one a picture; without them, pictures are called by `title` and number.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    pixels: Pixels
    title: str = "picture"
    numbers: NDArray[np.int64] | None = None
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def picture(self, index: int, color: Color) -> Image.Image:
        pixels = self.pixels[index]
        picture = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
        return picture.convert("L" if color == "L" else "RGB")

    def encoded(self, index: int) -> bytes | None:
        return None

    def name(self, index: int) -> str:
        if self.names is not None:
            return self.names[index]
        return f"{self.title} {index if self.numbers is None else self.numbers[index]}"


@dataclass(frozen=True)
class Dataset:
    """A source to learn from and one to be tested on, with the same classes.

    Args:
        color: how the pictures are: "L" where all are grey by nature, else "RGB".
        notes: what a person should know about how the data was read, a line each.
    """

    train: Source
    test: Source
    color: Color = "RGB"
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Subset:
    """Some pictures of another source, in the order of `indices`."""

    source: Source
    indices: NDArray[np.int64]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.source.classes

    @property
    def labels(self) -> NDArray[np.int64]:
        return self.source.labels[self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def picture(self, index: int, color: Color) -> Image.Image:
        return self.source.picture(int(self.indices[index]), color)

    def encoded(self, index: int) -> bytes | None:
        return self.source.encoded(int(self.indices[index]))

    def name(self, index: int) -> str:
        return self.source.name(int(self.indices[index]))


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
