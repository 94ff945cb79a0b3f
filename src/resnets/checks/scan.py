"""Reads every sample of an inventory on all cores, and keeps what was found for the next time.

What a file says of itself is kept beside the cache of scans (`resnets.data.scan_cache`): a file whose name, size and
modification time are unchanged is not opened again, but for those that could not be read. A change of `VERSION`, or
another Pillow, reads every file again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from resnets.checks.content import FACT, RECORD, VERSION, Record, describe_pixels, examine_bytes, examine_file
from resnets.checks.inventory import Inventory
from resnets.checks.problem import Problem, failed
from resnets.core.errors import DataError, ResnetsError
from resnets.data import scan_cache
from resnets.modalities.file_names import Names

CACHED_FROM = 64  # files; fewer are read fast enough
_PART = 16  # files that a thread takes at once

Progress = Callable[[int], None]


@dataclass
class Contents:
    """What was read of the samples of an inventory.

    Args:
        records: (N,) of `content.RECORD`, in the order of the samples.
        problems: of files that cannot be read.
        read: how many files were read, and not found in the cache.
        fast: whether nothing was decoded.
        threads: that read files.
        changed: whether the records say more than the cache.
        same: groups of the same samples, once they are known; see `duplicates.exact`.
    """

    records: NDArray[np.void]
    problems: list[Problem] = field(default_factory=list)
    read: int = 0
    fast: bool = False
    threads: int = 1
    changed: bool = False
    same: list[list[int]] | None = None

    def has(self, fact: str) -> NDArray[np.bool_]:
        """(N,) whether a fact holds."""
        return (self.records["facts"] & FACT[fact]) > 0

    def upright_sizes(self) -> NDArray[np.int64]:
        """(N, 2) height and width of each image, upright, as far as its file has been read; 0 where not known."""
        found = np.stack([self.records["height"], self.records["width"]], 1).astype(np.int64)
        if self.fast:
            found[self.has("turned")] = 0  # a header says the size before it is turned
        return found


def scan(
    inventory: Inventory,
    *,
    threads: int,
    fast: bool = False,
    decode: bool = True,
    progress: Progress | None = None,
) -> Contents:
    """Reads every sample.

    Args:
        fast: read headers only, and neither read nor write the cache.
        decode: False reads nothing at all, where no check asks for the contents.
        progress: is called with the number of samples that are done.
    """
    contents = Contents(np.zeros(len(inventory.samples), RECORD), fast=fast, threads=threads)
    if not decode:
        return contents
    if inventory.in_memory is not None:
        everything = range(len(contents.records))
        _work(inventory, lambda i: _examine_sample(inventory, i, fast), everything, contents, threads, progress)
        return contents
    names = _names(inventory)
    if not fast:
        _load(_key(inventory), names, contents.records)
    stale = np.flatnonzero(~_unchanged(inventory, contents.records, threads))
    contents.records[stale] = np.zeros(1, RECORD)
    _work(
        inventory,
        lambda i: examine_file(inventory.path(i), inventory.modality, fast=fast),
        stale.tolist(),
        contents,
        threads,
        progress,
    )
    contents.changed = len(stale) > 0
    return contents


def _examine_sample(inventory: Inventory, number: int, fast: bool) -> tuple[Record, Problem | None]:
    """As `examine_file`, of a sample that is no file of its own."""
    name, data = inventory.path(number), inventory.encoded(number) if inventory.encoded else None
    if data is not None:
        return examine_bytes(data, name, inventory.modality, fast=fast)
    assert inventory.in_memory is not None
    try:
        return describe_pixels(inventory.in_memory(number), {}), None
    except DataError as error:
        return {}, Problem("unreadable", name, str(error))


def save(inventory: Inventory, contents: Contents) -> None:
    """Writes what was read to the cache, for the next time."""
    names = _names(inventory)
    if contents.changed and not contents.fast and inventory.in_memory is None and len(names) >= CACHED_FROM:
        arrays: dict[str, NDArray[Any]] = {
            "names": np.frombuffer(names.buffer, np.uint8),
            "offsets": names.offsets,
            "records": contents.records,
        }
        scan_cache.save_arrays("check", _key(inventory), arrays)


def _names(inventory: Inventory) -> Names:
    return Names.of(os.fsencode(sample.name) for sample in inventory.samples)


def _key(inventory: Inventory) -> str:
    return f"{inventory.format} {VERSION} {PIL.__version__} {os.path.abspath(inventory.root)}"


def _work(
    inventory: Inventory,
    examine: Callable[[int], tuple[Record, Problem | None]],
    numbers: Sequence[int],
    contents: Contents,
    threads: int,
    progress: Progress | None,
) -> None:
    """Fills in the records `numbers`; a fault of this program becomes a problem of the sample, and the rest goes on."""
    problems: dict[int, Problem] = {}

    def work(part: Sequence[int]) -> int:
        for number in part:
            try:
                record, problem = examine(number)
            except (ResnetsError, MemoryError):
                raise
            except Exception as error:
                record, problem = {}, failed(inventory.path(number), error)
            row = contents.records[number : number + 1]
            for name, value in record.items():
                row[name] = value
            if problem is not None:
                problems[number] = problem
        return len(part)

    done = 0
    parts = [numbers[first : first + _PART] for first in range(0, len(numbers), _PART)]
    with ThreadPoolExecutor(threads) as pool, contextlib.closing(_in_order(pool, work, parts)) as results:
        for count in results:
            done += count
            if progress is not None:
                progress(done)
    contents.problems += [problems[number] for number in sorted(problems)]
    contents.read = len(numbers)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[Sequence[int]], int], parts: Sequence[Sequence[int]]
) -> Generator[int, None, None]:
    """The results of all parts; those that have not begun are dropped where the caller stops."""
    futures = [pool.submit(work, part) for part in parts]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


def _load(key: str, names: Names, records: NDArray[np.void]) -> None:
    """Fills `records` with those that the cache has of the files `names`."""
    found = scan_cache.load_arrays("check", key)
    try:
        if found is None:
            return
        known, cached = Names(found["names"].tobytes(), found["offsets"]), found["records"].astype(RECORD, casting="no")
    except (KeyError, TypeError, ValueError):
        return
    if len(known) != len(cached):
        return
    places = {name: number for number, name in enumerate(known)}
    which = np.fromiter((places.get(name, -1) for name in names), np.int64, len(names))
    records[which >= 0] = cached[which[which >= 0]]


def _unchanged(inventory: Inventory, records: NDArray[np.void], threads: int) -> NDArray[np.bool_]:
    """(N,) whether each file was decoded before, and has the size and the time that it had then."""
    same = (records["facts"] & FACT["decoded"]) > 0

    def work(number: int) -> None:
        try:
            info = os.stat(inventory.path(number))
        except OSError:
            same[number] = False
        else:
            same[number] = (info.st_size, info.st_mtime_ns) == (records["size"][number], records["mtime"][number])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, np.flatnonzero(same).tolist()))
    return np.asarray(same)
