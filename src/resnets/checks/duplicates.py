"""The same sample twice: within a split, in two splits, or with two labels; and images that are nearly the same.

Samples are the same where they decode to the same values, whatever their files say besides. Nearly the same are images
whose perceptual hashes differ in at most `BITS` of 128, and whose thumbnails agree.

The hash is dHash (Krawetz, "Kind of Like That", hackerfactor.com, 2013): whether each of 8x8 grey levels is above its
neighbour, here to the right and below, of a thumbnail of 9x9. It survives other sizes, qualities and formats. Two
hashes that differ in fewer bits than they have bands are equal in one band (Manku, Jain and Das Sarma, "Detecting
near-duplicates for web crawling", WWW 2007), so that only samples with an equal band are compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.checks.content import THUMB, file_digest, pixels_digest
from resnets.checks.inventory import Inventory, Sample
from resnets.checks.problem import Problem
from resnets.checks.scan import Contents
from resnets.core.errors import DataError
from resnets.modalities.image.read.pillow import open_image

BITS = 16
AGREEMENT = 0.97  # the least correlation of two thumbnails that are nearly the same
CONTRAST = 4.0  # the least standard deviation of a thumbnail, in levels, of which a hash says something
SHAPE = 1.1  # times by which the ratios of the sides may differ
SMALLEST = 32  # pixels of the shorter side: drawings of a few pixels, such as digits, are alike anyway
_BANDS = 8  # of 16 bits
_AHEAD = 32  # samples of a band that each is compared with, the next in the order of their hashes
_SHOWN = 8


def exact(inventory: Inventory, contents: Contents) -> list[list[int]]:
    """Groups of the same samples, by their numbers, each in the order of the inventory.

    Files that cannot be decoded are left out, since they have a problem of their own.
    """
    if contents.same is None:
        contents.same = _same(inventory, contents)
    return contents.same


def _same(inventory: Inventory, contents: Contents) -> list[list[int]]:
    groups = _Groups(len(inventory.samples))
    if contents.fast:
        _same_bytes(inventory, contents, groups)
        return groups.found()
    records = contents.records
    thumbs, width, height, values = (records[name] for name in ("thumb", "width", "height", "values"))
    decoded = np.flatnonzero(contents.has("decoded")).tolist()
    alike = _equal(decoded, lambda n: (thumbs[n].tobytes(), int(width[n]), int(height[n])))
    unhashed = [n for group in alike for n in group if not values[n].any()]
    with ThreadPoolExecutor(contents.threads) as pool:
        for number, value in zip(unhashed, pool.map(lambda n: _pixels(inventory, n), unhashed), strict=True):
            values[number] = value
            contents.changed = True
    for group in _equal([n for n in decoded if values[n].any()], lambda n: values[n].tobytes()):
        for number in group[1:]:
            groups.join(group[0], number)
    return groups.found()


def duplicates(inventory: Inventory, contents: Contents) -> Iterator[Problem]:
    """The same samples, as `split_leak`, `label_conflict` or `duplicate`."""
    for group in exact(inventory, contents):
        samples = [inventory.samples[number] for number in group]
        leak, conflict = len({each.split for each in samples}) > 1, len({each.label for each in samples}) > 1
        first = samples[0]
        for number, sample in zip(group[1:], samples[1:], strict=True):
            path, others = inventory.path(number), _paths(inventory, group, number)
            if leak and sample.split != first.split:
                others = _paths(inventory, [n for n in group if inventory.samples[n].split != sample.split], number)
                detail = f"{path} is the same as {others[0]}: {sample.split} and {first.split} have it."
                yield Problem("split_leak", path, detail, others)
            if conflict and sample.label != first.label:
                others = _paths(inventory, [n for n in group if inventory.samples[n].label != sample.label], number)
                detail = f"{path} ({_label(sample)}) is the same as {others[0]} ({_label(first)})."
                yield Problem("label_conflict", path, detail, others)
            if sample.split == first.split and sample.label == first.label:
                yield Problem("duplicate", path, f"{path} is the same as {others[0]}.", others)


def near_duplicates(inventory: Inventory, contents: Contents) -> Iterator[Problem]:
    """Images that are nearly the same, and not the same."""
    if contents.fast:  # without thumbnails
        return
    same = _Groups(len(inventory.samples))
    for group in exact(inventory, contents):
        for number in group[1:]:
            same.join(group[0], number)
    near = _Groups(len(inventory.samples))
    for one, other in near_pairs(contents):
        if same.find(one) != same.find(other):
            near.join(one, other)
    for group in near.found():
        first, seen = inventory.samples[group[0]], {same.find(group[0])}
        for number in group[1:]:
            if same.find(number) in seen:  # a copy of one that has been named
                continue
            seen.add(same.find(number))
            sample, path = inventory.samples[number], inventory.path(number)
            others = _paths(inventory, group, number)
            where = f", of {first.split}" if first.split != sample.split else ""
            where += f", with another label, {_label(first)}" if first.label != sample.label else ""
            yield Problem("near_duplicate", path, f"{path} is nearly the same as {others[0]}{where}.", others)


def near_pairs(contents: Contents, bits: int = BITS, agreement: float = AGREEMENT) -> list[tuple[int, int]]:
    """Pairs of images with a small distance of their hashes and thumbnails that agree, by their numbers.

    Where more than `_AHEAD` samples share a band, each is compared with the next ones in the order of all of its bits:
    the time stays proportional to the number of samples.
    """
    records = contents.records
    thumbs = records["thumb"].reshape(-1, THUMB**2).astype(np.float32)
    centered = thumbs - thumbs.mean(1, keepdims=True)
    deviation = centered.std(1)
    shorter = np.minimum(records["width"], records["height"])
    numbers = np.flatnonzero(contents.has("decoded") & (deviation >= CONTRAST) & (shorter >= SMALLEST))
    if len(numbers) < 2:
        return []
    centered, shape = centered[numbers], _shapes(contents)[numbers]
    centered /= deviation[numbers, None] * THUMB
    hashes = dhash(records["thumb"][numbers])
    found: set[tuple[int, int]] = set()
    for band in range(_BANDS):
        order = np.lexsort((*(hashes[:, other] for other in range(_BANDS) if other != band), hashes[:, band]))
        for step in range(1, min(_AHEAD, len(order) - 1) + 1):
            one, other = order[:-step], order[step:]
            equal = hashes[one, band] == hashes[other, band]
            if not equal.any():
                break
            one, other = one[equal], other[equal]
            close = np.bitwise_count(hashes[one] ^ hashes[other]).sum(1) <= bits
            one, other = one[close], other[close]
            alike = (centered[one] * centered[other]).sum(1) >= agreement
            alike &= np.maximum(shape[one] / shape[other], shape[other] / shape[one]) <= SHAPE
            found.update(zip(one[alike].tolist(), other[alike].tolist(), strict=True))
    return sorted({(int(numbers[min(pair)]), int(numbers[max(pair)])) for pair in found})


def dhash(thumbs: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """(N, 8) bands of 16 bits, of thumbnails (N, 9, 9): whether a level is below that to its right, and below it."""
    right = thumbs[:, :-1, :-1] < thumbs[:, :-1, 1:]
    below = thumbs[:, :-1, :-1] < thumbs[:, 1:, :-1]
    bits = np.concatenate([right.reshape(len(thumbs), -1), below.reshape(len(thumbs), -1)], 1)
    return np.packbits(bits, axis=1).view(np.uint16)


def _shapes(contents: Contents) -> NDArray[np.float64]:
    width, height = (np.maximum(contents.records[name].astype(np.float64), 1) for name in ("width", "height"))
    return width / height


class _Groups:
    """Numbers joined into groups (union-find with path halving)."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def find(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number

    def join(self, one: int, other: int) -> None:
        a, b = sorted((self.find(one), self.find(other)))
        self._parent[b] = a

    def found(self) -> list[list[int]]:
        """The groups of two or more, in rising order."""
        members: defaultdict[int, list[int]] = defaultdict(list)
        for number, parent in enumerate(self._parent):
            if parent != number or number in members:
                members[self.find(number)].append(number)
        return [[root, *(n for n in group if n != root)] for root, group in sorted(members.items())]


def _equal(numbers: Iterable[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    """Groups of those of `numbers` whose keys are equal, each in the order of `numbers`."""
    found: defaultdict[Hashable, list[int]] = defaultdict(list)
    for number in numbers:
        found[key(number)].append(number)
    return [group for group in found.values() if len(group) > 1]


def _same_bytes(inventory: Inventory, contents: Contents, groups: _Groups) -> None:
    """Joins files with the same bytes; only those with the same size are read."""
    sizes = contents.records["size"].tolist()
    for part in _equal([n for n, size in enumerate(sizes) if size > 0], sizes.__getitem__):
        first: dict[tuple[int, int], int] = {}
        for number in part:
            data = inventory.encoded(number) if inventory.encoded else None
            digest = file_digest(Path(inventory.path(number)) if data is None else data)
            groups.join(first.setdefault(digest, number), number)


def _pixels(inventory: Inventory, number: int) -> tuple[int, int]:
    """The digest of all pixels of an image; zeros where it can no longer be read."""
    try:
        if inventory.in_memory is not None:
            return pixels_digest(inventory.in_memory(number))
        return pixels_digest(open_image(Path(inventory.path(number))))
    except DataError:
        return 0, 0


def _paths(inventory: Inventory, group: Iterable[int], own: int) -> tuple[str, ...]:
    return tuple([inventory.path(number) for number in group if number != own][:_SHOWN])


def _label(sample: Sample) -> str:
    return ";".join(sample.label) if isinstance(sample.label, tuple) else str(sample.label)
