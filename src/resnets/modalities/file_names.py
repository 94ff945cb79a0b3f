"""Many file names in one buffer of bytes. (A list of a million strings takes 100 MB, and every process copies it.)"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from typing import overload

import numpy as np
from numpy.typing import NDArray


class Names:
    """An immutable sequence of byte strings, stored as their concatenation and the offset of each.

    Args:
        buffer: the concatenated bytes.
        offsets: (N + 1,) rising positions in `buffer`; name i is `buffer[offsets[i]:offsets[i + 1]]`.
    """

    def __init__(self, buffer: bytes = b"", offsets: NDArray[np.int64] | None = None) -> None:
        self.buffer = buffer
        self.offsets = np.zeros(1, np.int64) if offsets is None else offsets

    @classmethod
    def of(cls, names: Iterable[bytes]) -> Names:
        """The names in an iterable."""
        builder = NamesBuilder()
        builder += names
        return builder.build()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int | np.integer) -> bytes: ...

    @overload
    def __getitem__(self, index: slice | NDArray[np.int64]) -> Names: ...

    def __getitem__(self, index: int | np.integer | slice | NDArray[np.int64]) -> bytes | Names:
        if isinstance(index, slice):
            return Names.of(self[i] for i in range(*index.indices(len(self))))
        if isinstance(index, np.ndarray):
            return Names.of(self[int(i)] for i in index)
        number = int(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"there are {len(self)} names, not one numbered {number}")
        number %= len(self)
        return self.buffer[self.offsets[number] : self.offsets[number + 1]]

    def __iter__(self) -> Iterator[bytes]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Names)
            and self.buffer == other.buffer
            and bool(np.array_equal(self.offsets, other.offsets))
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def nbytes(self) -> int:
        """Bytes that the names take in memory."""
        return len(self.buffer) + int(self.offsets.nbytes)


class NamesBuilder:
    """Collects names, a folder's at a time: `builder += names`."""

    def __init__(self) -> None:
        self._buffers: list[bytes] = []
        self._lengths: list[NDArray[np.int64]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iadd__(self, names: Iterable[bytes]) -> NamesBuilder:
        part = list(names)
        self._buffers.append(b"".join(part))
        self._lengths.append(np.fromiter(map(len, part), np.int64, len(part)))
        self._count += len(part)
        return self

    def build(self) -> Names:
        """All names so far."""
        ends = np.cumsum(np.concatenate([np.zeros(1, np.int64), *self._lengths]), dtype=np.int64)
        return Names(b"".join(self._buffers), ends)


def normalized_name(name: bytes) -> bytes:
    """A file's relative name, the same on all systems: UTF-8, composed (NFC; macOS decomposes), forward slashes."""
    if name.isascii():
        return name
    return unicodedata.normalize("NFC", name.decode(errors="surrogateescape")).encode(errors="surrogateescape")
