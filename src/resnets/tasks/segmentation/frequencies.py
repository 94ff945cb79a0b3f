"""How frequent the classes are in the masks of training."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError
from resnets.core.workers import default_workers

if TYPE_CHECKING:
    from resnets.modalities.base import Dataset


def count_pixels(train: Dataset) -> NDArray[np.int64]:
    """(classes,) the pixels of each class in all masks of `train`, without those that count for nothing.

    Damaged ones are passed over, as whoever reads them with their image names them.
    """
    classes = len(train.classes)

    def counted(index: int) -> NDArray[np.int64]:
        try:
            mask = train.target(index)["masks"]
        except DataError:
            return np.zeros(classes, np.int64)
        return np.bincount(mask.ravel(), minlength=classes)[:classes]

    with ThreadPoolExecutor(default_workers()) as pool:
        return sum(pool.map(counted, range(len(train))), np.zeros(classes, np.int64))
