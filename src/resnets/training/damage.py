"""`damaged.jsonl` in the folder of a run: a line for each file that could not be read.

The lines of the scan come first and are complete before step 1. They have the split and number of the image, so that a
resumed run leaves out the same images without a scan. Damage that decoding finds later is appended with its step.
"""

from __future__ import annotations

import errno
import json
import os
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from resnets.core.errors import FileError
from resnets.core.files import explain, write_bytes
from resnets.data.file_table import folder_of, read_records
from resnets.data.scan import DatasetScan
from resnets.modalities.base import Dataset, SplitName

NAME = "damaged.jsonl"


@dataclass(frozen=True, kw_only=True)
class Damage:
    """A file that could not be read.

    Args:
        path: of the file.
        reason: the decoder's message.
        split: where the scan found it; None where training found it.
        number: of the image in that split, or among the training images where training found it; from 0.
        step: of training in which it was found, from 1.
        size, sha256: of the file when the run stopped for it, as in the fingerprint of the data (see
            `headers.RECORD`). With them the run goes on once the file is mended.
    """

    path: str
    reason: str
    split: SplitName | None = None
    number: int | None = None
    step: int | None = None
    size: int | None = None
    sha256: str | None = None


class DamageLog:
    """Reads and appends to the `damaged.jsonl` of a run; the file exists only where something is damaged."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._appended: set[Damage] = set()

    def write_scan(self, splits: dict[SplitName, tuple[Dataset, DatasetScan]]) -> None:
        """Begins the file with the damage that the scan found.

        Raises:
            FileError: it cannot be written.
        """
        found = [
            Damage(path=dataset.name(number), reason=reason, split=split, number=number)
            for split, (dataset, scan) in splits.items()
            for number, reason in scan.damaged.items()
        ]
        if found:
            write_bytes(self.path, b"".join(map(_line, found)))

    def append(self, damage: Damage) -> bool:
        """Appends a line at once, unless this object already has; returns whether it did. Several ranks may append.

        Raises:
            FileError: it cannot be written.
        """
        if damage in self._appended:
            return False
        self._appended.add(damage)
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                line = _line(damage)
                if os.write(handle, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(handle)
        except OSError as error:
            raise explain("write", self.path, error) from error
        return True

    def read(self) -> list[Damage]:
        """Returns all lines but an incomplete last one.

        Raises:
            FileError: it cannot be read, or holds something else.
        """
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise explain("read", self.path, error) from error
        return [self._parse(number, line) for number, line in enumerate(lines, start=1)]

    def scanned(self, split: SplitName) -> dict[int, str]:
        """Returns what the scan found in a split: reason by image number."""
        return {d.number: d.reason for d in self.read() if d.split == split and d.number is not None and d.step is None}

    def cut(self, steps: int) -> None:
        """Removes what was found after step `steps`, from which the run goes on: it will be found again.

        Files that the run stopped for stay listed, as they may have been mended.
        """
        kept = [d for d in self.read() if d.step is None or d.step <= steps or d.sha256 is not None]
        content = b"".join(map(_line, kept))
        if self.path.exists() and self.path.read_bytes() != content:  # also where the last line is incomplete
            write_bytes(self.path, content)

    def by_path(self) -> dict[str, str]:
        """Returns the reason by path, for every file that the run went on without."""
        return {d.path: d.reason for d in self.read() if d.sha256 is None}

    def before_mending(self) -> dict[int, tuple[int, bytes]]:
        """Returns size and hash, by number, of the training images that the run stopped for, as they were then."""
        found = (d for d in reversed(self.read()) if d.split is None)
        return {
            d.number: (d.size, bytes.fromhex(d.sha256))
            for d in found
            if d.number is not None and d.size is not None and d.sha256 is not None
        }

    def _parse(self, number: int, line: bytes) -> Damage:
        try:
            data: Any = json.loads(line)
        except (ValueError, RecursionError):
            data = None
        given = data if isinstance(data, dict) else {}
        values: dict[str, Any] = {name: given.get(name) for name in _NAMES}
        damage = Damage(**values)
        hashed = damage.sha256 is None or (isinstance(damage.sha256, str) and _SHA256.fullmatch(damage.sha256))
        whole = hashed and all(isinstance(text, str) for text in (damage.path, damage.reason))
        counts = all(
            n is None or (type(n) is int and 0 <= n < 2**63) for n in (damage.number, damage.step, damage.size)
        )
        if not (whole and counts and damage.split in (None, "train", "val", "test")):
            raise FileError(f"{self.path} is damaged: line {number} does not describe a file. Restore it from a copy.")
        return damage


def with_record(damage: Damage, dataset: Dataset, number: int) -> Damage:
    """Returns `damage` with the current size and hash of sample `number` of `dataset`, if its file can be opened."""
    on_disk, indices = folder_of(dataset)
    if not on_disk:
        return damage
    record = read_records(on_disk[0], indices[[number]])[0]
    if record["size"] < 0:
        return damage
    return replace(damage, number=number, size=int(record["size"]), sha256=record["digest"].tobytes().hex())


_NAMES = tuple(each.name for each in fields(Damage))
_SHA256 = re.compile("[0-9a-f]{32}")


def _line(damage: Damage) -> bytes:
    known = {name: value for name, value in vars(damage).items() if value is not None}
    return (json.dumps(known) + "\n").encode()
