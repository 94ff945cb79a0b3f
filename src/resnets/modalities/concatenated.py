"""Several datasets whose samples are no files as one, such as the splits of a dataset by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.modalities.base import Arrays, Dataset, OnDisk, whole


@dataclass(frozen=True, eq=False)
class ConcatDataset:
    """The samples of `parts`, one part after the other; all have the same classes, and none has files."""

    parts: tuple[Dataset, ...]

    @property
    def modality(self) -> str:
        return self.parts[0].modality

    @property
    def task(self) -> str:
        return self.parts[0].task

    @property
    def classes(self) -> tuple[str, ...]:
        return self.parts[0].classes

    @property
    def targets(self) -> Mapping[str, NDArray[Any]]:
        each = [part.targets for part in self.parts]
        return {name: np.concatenate([targets[name] for targets in each]) for name in each[0]}

    @property
    def strata(self) -> NDArray[np.int64]:
        return np.concatenate([part.strata for part in self.parts])

    @property
    def on_disk(self) -> tuple[OnDisk, ...]:
        return ()

    @property
    def doubtful(self) -> NDArray[np.bool_]:
        """(N,) whether only decoding can say that the sample is whole, as far as parts say so."""
        none = [np.zeros(len(part), np.bool_) for part in self.parts]
        return np.concatenate([getattr(part, "doubtful", no) for part, no in zip(self.parts, none, strict=True)])

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def target(self, index: int) -> Arrays:
        part, number = self._place(index)
        return part.target(number)

    def encoded(self, index: int) -> bytes | None:
        part, number = self._place(index)
        return part.encoded(number)

    def fingerprint(self, index: int) -> bytes:
        part, number = self._place(index)
        return part.fingerprint(number)

    def image(self, index: int, *how: Any) -> Any:
        """As the parts' own `image`, of datasets of images."""
        part, number = whole(*self._place(index))
        return part.image(number, *how)

    def name(self, index: int) -> str:
        part, number = self._place(index)
        return part.name(number)

    def key(self, index: int) -> bytes:
        part, number = self._place(index)
        return part.key(number)

    def _place(self, index: int) -> tuple[Dataset, int]:
        for part in self.parts:
            if index < len(part):
                return part, index
            index -= len(part)
        raise IndexError(f"there are {len(self)} samples")
