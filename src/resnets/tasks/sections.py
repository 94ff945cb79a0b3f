"""The sections of a page about a model, as data: a task says what it found, `resnets.reporting` renders it as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Tone = Literal["normal", "strong", "soft"]
Part = tuple[float, float, float, float]  # left, top, right and bottom as shares of an image's width and height


@dataclass(frozen=True)
class Span:
    """Text with one emphasis."""

    text: str
    tone: Tone = "normal"


@dataclass(frozen=True)
class Headline:
    """The title of the page, and the one result that a reader came for."""

    title: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Paragraph:
    """A few sentences."""

    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Code:
    """What is typed, such as a command."""

    text: str


@dataclass(frozen=True)
class Link:
    """A file beside the page, by its name."""

    file: str


@dataclass(frozen=True)
class Facts:
    """Pairs of a name and a value."""

    rows: tuple[tuple[str, str | Code | Link], ...]


@dataclass(frozen=True)
class Curve:
    """One curve: its name and its (x, y) points. Points that are not finite, which JSON has as None, are left out."""

    name: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True)
class Chart:
    """A line chart. The legend is shown where there are several curves."""

    title: str
    x_label: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Charts:
    """Line charts, side by side where there is room."""

    title: str
    charts: tuple[Chart, ...]
    note: str = ""


@dataclass(frozen=True)
class Cloud:
    """Points of one name in a plane.

    Args:
        points: (x, y) of those that are right.
        marked: (x, y) of the others, which are marked.
        faint: whether it is no name of its own, but what is left.
    """

    name: str
    points: Sequence[tuple[float, float]]
    marked: Sequence[tuple[float, float]] = ()
    faint: bool = False


@dataclass(frozen=True)
class Scatter:
    """Clouds of points in a plane whose axes have no unit.

    Args:
        mark: what is said of marked points, such as "taken for another class".
    """

    title: str
    clouds: tuple[Cloud, ...]
    mark: str
    note: str = ""


@dataclass(frozen=True)
class Outline:
    """A box to be drawn on an image.

    Args:
        box: left, top, right and bottom as shares of the image's width and height.
        color: red, green and blue from 0 to 255.
        label: what is written at the box.
    """

    box: Part
    color: tuple[int, int, int]
    label: str = ""


@dataclass(frozen=True)
class GalleryItem:
    """A sample of the dataset, by its number, with a caption. The page adds the sample's image and name.

    Args:
        overlay: (h, w, 3) uint8 colours that are laid over the image, half transparent and stretched to its size.
        outlines: boxes that are drawn on it, for which it is shown larger; None where it is shown small, without any.
        part: the part of the image that is shown, where it is shown large.
    """

    sample: int
    caption: tuple[Span, ...]
    overlay: NDArray[np.uint8] | None = field(default=None, compare=False)
    outlines: tuple[Outline, ...] | None = None
    part: Part = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Gallery:
    """Samples with their images."""

    title: str
    items: tuple[GalleryItem, ...]
    note: str = ""

    @property
    def is_large(self) -> bool:
        """Whether its images are shown large."""
        return any(item.outlines is not None for item in self.items)


@dataclass(frozen=True)
class Matrix:
    """A square table of counts by true class (row) and predicted class (column), the larger the darker.

    Args:
        counts: a row a class of `names`, each with a count a class.
    """

    title: str
    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    note: str = ""

    @property
    def largest_error(self) -> int:
        """The largest count off the diagonal; 0 where there is none."""
        return max((n for i, row in enumerate(self.counts) for j, n in enumerate(row) if i != j), default=0)


@dataclass(frozen=True)
class HeatMap:
    """An image of the counts by true class (row) and predicted class (column), for classes that are too many for a
    `Matrix`.

    Args:
        counts: (classes, classes), in the order of `names`.
        frames: of each group of classes that is framed, and numbered from 1, the number of its first class in `names`,
            and how many there are.
    """

    title: str
    names: tuple[str, ...]
    counts: NDArray[np.int64] = field(compare=False)
    frames: tuple[tuple[int, int], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first column names the row.

    Args:
        texts: how many of the first columns are texts; the others are numbers.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    texts: int = 1


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    title: str
    items: tuple[str, ...]
    note: str = ""


Section = Headline | Paragraph | Facts | Charts | Scatter | Gallery | Matrix | HeatMap | Table | Items
