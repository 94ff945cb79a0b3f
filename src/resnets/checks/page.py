"""`check.html`: one self-contained page with the classes, samples of each, and the images of every kind of problem."""

from __future__ import annotations

import base64
import io
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from PIL import Image, ImageDraw

from resnets.checks.inventory import Inventory, labels_of
from resnets.checks.kinds import KINDS
from resnets.checks.problem import Box, Problem
from resnets.checks.run import CheckResult
from resnets.core.errors import DataError
from resnets.core.files import write_bytes
from resnets.core.units import show_count
from resnets.modalities.image.read.pillow import open_image
from resnets.modalities.listing import IMAGES
from resnets.reporting.pages import render

SHOWN = 12  # problems of a kind that are shown with their images
LISTED = 200  # further ones that are listed by their details
RELATED = 2  # images beside that of a problem
CLASSES = 200  # bars
SAMPLES = 24  # images of classes
_PIXELS = 160  # of the longer side of a thumbnail
_SMALLEST = 4  # pixels of a box that is drawn as it is


@dataclass(frozen=True)
class Figure:
    """A problem or sample with its images.

    Args:
        urls: `data:` URLs, none of what cannot be read.
    """

    urls: tuple[str, ...]
    caption: str


@dataclass(frozen=True)
class Bar:
    """A class and its number of samples by split; `share` of the largest class, in percent."""

    name: str
    counts: tuple[int, ...]
    share: float


@dataclass(frozen=True)
class Group:
    """The problems of one kind and severity.

    Args:
        more: how many are neither shown nor listed.
    """

    title: str
    text: str
    severity: str
    figures: tuple[Figure, ...]
    listed: tuple[str, ...]
    more: int


def write_page(path: Path, result: CheckResult) -> None:
    """Writes the page to `path`, or leaves `path` as it was and raises `FileError`."""
    thumbnails = _Thumbnails(result.inventory)
    warnings = len(result.problems) - result.errors
    counts = [(split, show_count(count, "sample")) for split, count in result.samples.items()]
    groups = groupby(result.problems, lambda each: (each.severity, each.kind))
    page = render(
        "check.html",
        title=f"Check of {result.data}",
        headline=f"{show_count(result.errors, 'error')}, {show_count(warnings, 'warning')}",
        facts=[("Format", result.format or "by name"), *counts],
        splits=tuple(result.samples),
        bars=_bars(result),
        more_classes=max(0, len(result.classes) - CLASSES),
        groups=[_group(list(found), thumbnails) for _, found in groups],
        samples=_samples(result.inventory, thumbnails),
    )
    write_bytes(path, page)


def _bars(result: CheckResult) -> list[Bar]:
    shown = list(result.classes.items())[:CLASSES]
    largest = max((count for _, count in shown), default=0) or 1
    by_split: Mapping[str, Mapping[str, int]] = {}
    if not result.inventory.has_masks:
        by_split = {split: result.inventory.counts(split) for split in result.samples}
    return [
        Bar(name, tuple(counts[name] for counts in by_split.values()) or (count,), 100 * count / largest)
        for name, count in shown
    ]


def _group(problems: Sequence[Problem], thumbnails: _Thumbnails) -> Group:
    first = problems[0]
    kind = KINDS[first.kind]
    listed = problems[SHOWN : SHOWN + LISTED]
    return Group(
        f"{first.kind} ({len(problems):,})",
        f"{first.severity}: {kind.meaning}; {kind.way_out}.",
        first.severity,
        tuple(
            Figure(tuple(thumbnails.of(path, each.box) for path in (each.path, *each.related[:RELATED])), each.detail)
            for each in problems[:SHOWN]
        ),
        tuple(each.detail for each in listed),
        len(problems) - SHOWN - len(listed) if len(problems) > SHOWN + LISTED else 0,
    )


def _samples(inventory: Inventory, thumbnails: _Thumbnails) -> list[Figure]:
    """The first readable images of each class of train, as many of each as there is room for."""
    by_class: defaultdict[str, list[int]] = defaultdict(list)
    for number, sample in enumerate(inventory.samples):
        if sample.split == inventory.training_split:
            for name in labels_of(sample.label)[:1] or ("",):
                by_class[name].append(number)
    each = max(1, SAMPLES // max(1, len(by_class)))
    paths = [(name, inventory.path(n)) for name, numbers in list(by_class.items())[:SAMPLES] for n in numbers[:each]]
    return [Figure((thumbnails.of(path),), name or path) for name, path in paths if thumbnails.of(path)]


class _Thumbnails:
    """Thumbnails of the images of an inventory as `data:` URLs, each made once."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._numbers: dict[str, int] = {}
        if inventory.in_memory is not None:
            self._numbers = {sample.name: number for number, sample in enumerate(inventory.samples)}
        self._made: dict[tuple[str, Box | None], str] = {}

    def of(self, path: str, box: Box | None = None) -> str:
        """The URL of an image; "" for what is none, or cannot be read.

        Args:
            box: is drawn on it.
        """
        key = (path, box)
        if key not in self._made:
            try:
                image = self._open(path)
                self._made[key] = "" if image is None else _url(image, box)
            except (DataError, OSError):
                self._made[key] = ""
        return self._made[key]

    def _open(self, path: str) -> Image.Image | None:
        in_memory: Callable[[int], Image.Image] | None = self._inventory.in_memory
        if in_memory is not None:
            return in_memory(self._numbers[path]) if path in self._numbers else None
        return open_image(Path(path)) if IMAGES.has(path) and os.path.isfile(path) else None


def _url(image: Image.Image, box: Box | None) -> str:
    whole = image.size
    image = image.convert("RGB")
    image.thumbnail((_PIXELS, _PIXELS), Image.Resampling.BILINEAR)
    if box is not None:
        _draw(image, whole, box)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _draw(image: Image.Image, whole: tuple[int, int], box: Box) -> None:
    """Draws a box, in pixels of an image of the size `whole`, on its thumbnail, with a margin where it is tiny."""
    scales = (image.width / whole[0], image.height / whole[1])
    left, top, right, bottom = (round(value * scales[place % 2]) for place, value in enumerate(box))
    left, right = sorted((left, right))
    top, bottom = sorted((top, bottom))
    if min(right - left, bottom - top) < _SMALLEST:
        left, top, right, bottom = left - _SMALLEST, top - _SMALLEST, right + _SMALLEST, bottom + _SMALLEST
    draw = ImageDraw.Draw(image)
    for width, color in ((3, "white"), (1, "red")):  # seen on any ground
        draw.rectangle((left, top, max(left, right), max(top, bottom)), outline=color, width=width)
