"""A function of version 0.2 that `score` has no use for any more; to be deleted with `core.old_modules`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resnets.evaluation.scoring import class_order
from resnets.modalities.base import Dataset


def labels_for(dataset: Dataset, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """(N,) the labels of `dataset`, as places in `classes`, matched by name.

    Raises:
        DataError: the dataset has a class that is not in `classes`.
    """
    labels: NDArray[np.int64] = class_order(dataset, classes)[dataset.targets["labels"]]
    return labels
