"""Columns of records: what an evaluation keeps of each sample, gathered over batches and ranks.

Most columns are arrays (N, ...). A ragged one, such as boxes, of which each sample has its own number, is an array (N,)
of objects with an array a sample: rows are taken, joined and counted as those of any other array.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def ragged(values: Iterable[Any]) -> NDArray[Any]:
    """(N,) objects: `values`, an array of any shape a sample, as a column."""
    listed = list(values)
    column = np.empty(len(listed), object)
    for row, each in enumerate(listed):  # NumPy would stack arrays that happen to have one shape
        column[row] = each
    return column


def column(values: Any) -> NDArray[Any]:
    """What `Task.evaluate_batch` returns under one name, in the memory of the host.

    Args:
        values: a tensor (N, ...), or a sequence of N tensors or arrays, which becomes `ragged`.
    """
    if isinstance(values, list | tuple):
        return ragged(_array(each) for each in values)
    return _array(values)


def _array(values: Any) -> NDArray[Any]:
    """A tensor or an array as an array."""
    return np.asarray(values.cpu() if hasattr(values, "cpu") else values)
