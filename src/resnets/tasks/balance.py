"""Classes of different frequency: their weights in the loss, given or by frequency, and which samples are balanced.

Both come from the recipe and the training data alone, so that every rank and every resumed run has the same ones.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resnets.core.errors import DataError, FileError, UsageError, nearest, unknown
from resnets.core.files import explain, parse_json
from resnets.core.typed import checked
from resnets.core.units import some
from resnets.core.urls import local_path
from resnets.tasks.classification.settings import Classify
from resnets.tasks.multilabel.settings import MultiLabel
from resnets.tasks.segmentation.settings import Segment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from resnets.modalities.base import Dataset
    from resnets.tasks.catalog import AnyTask

_SHOWN = 5  # names in a message


@dataclass(frozen=True, kw_only=True)
@checked
class ClassWeights:
    """The weight of each class in the loss.

    Args:
        classes: their names.
        weights: of each; 0 leaves a class out of the loss.

    Raises:
        UsageError: a class stands there twice, or a weight is negative, or none is above 0.
    """

    classes: tuple[str, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.classes) != len(self.weights):
            raise UsageError(f"There are {len(self.classes)} classes and {len(self.weights)} weights of them.")
        if repeated := next((name for name in self.classes if self.classes.count(name) > 1), None):
            raise UsageError(f"The class {repeated!r} has two weights.")
        for name, weight in zip(self.classes, self.weights, strict=True):
            if not (math.isfinite(weight) and weight >= 0):
                raise UsageError(f"The weight of {name!r} must be 0 or more, not {weight:g}.")
        if not any(self.weights):
            raise UsageError("A class must have a weight above 0.")

    def of(self, classes: Sequence[str]) -> tuple[float, ...]:
        """The weight of each of `classes`.

        Raises:
            DataError: one has no weight, or there is a weight of another class; the message names them.
        """
        by_name = dict(zip(self.classes, self.weights, strict=True))
        if strange := [name for name in self.classes if name not in classes]:
            raise DataError(
                f"balance has a weight of a class that the data lacks: {unknown('class', strange[0], classes)}"
            )
        if missing := [name for name in classes if name not in by_name]:
            raise DataError(f"balance has no weight of {some(missing, _SHOWN)}: give each class one.")
        return tuple(by_name[name] for name in classes)


Balance = Literal["weights", "sampling"] | ClassWeights


def balance_of(given: object) -> Balance:
    """The balance that a user asks for: "weights", "sampling", the path of a file, or a mapping from names of classes.

    Raises:
        FileError: there is no such file, or it has no weights of classes.
        UsageError: it is none of these, or a weight is not fit for one.
    """
    if given == "weights" or given == "sampling" or isinstance(given, ClassWeights):
        return given  # type: ignore[return-value]  # mypy does not narrow by ==
    if isinstance(given, Mapping):
        return ClassWeights(classes=tuple(given), weights=tuple(given.values()))
    if not isinstance(given, str | PathLike):
        raise UsageError(f"balance takes weights, sampling or a file of weights by class name, not {given!r}.")
    path = Path(os.fspath(local_path(given, "a file of weights of classes")))
    if not path.exists():
        near = nearest(str(given), ("weights", "sampling"))[:1]
        advice = f" Did you mean {near[0]}?" if near else ""
        raise FileError(f"There is no file {path}: balance takes weights, sampling or a file.{advice}")
    return read_class_weights(path)


def read_class_weights(path: Path) -> ClassWeights:
    """The weights in a JSON object of numbers by class name, or in a CSV file of rows with a name and a number.

    The first row of a CSV file may be a header.

    Raises:
        FileError: the file is missing, or is neither of these.
        UsageError: a weight is not fit for one, or a class stands there twice.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise explain("read", path, error) from error
    except UnicodeDecodeError as error:
        raise FileError(
            f"{path} is no text in UTF-8: balance takes JSON or CSV with a weight for each class."
        ) from error
    try:
        pairs = _of_json(text) if text.lstrip().startswith("{") else _of_csv(text)
    except (ValueError, RecursionError, csv.Error) as error:
        raise FileError(
            f"{path} does not have a weight for each class ({error}): write a JSON object such as "
            '{"cat": 1, "dog": 2.5}, or CSV rows such as cat,1.'
        ) from error
    try:
        return ClassWeights(classes=tuple(name for name, _ in pairs), weights=tuple(weight for _, weight in pairs))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def check_balance(balance: Balance | None, task: AnyTask, classes: Sequence[str]) -> None:
    """Checks that a task with these classes can have `balance`, which takes no sample to know.

    Raises:
        UsageError: the task knows no such weights.
        DataError: a class has no weight, or a weight no class.
    """
    if balance is None or (balance == "sampling" and isinstance(task, Classify)):
        return
    if balance == "sampling":
        raise UsageError(f"balance=sampling draws samples by their one class: it is not for {task.name}.")
    if not isinstance(task, Classify | MultiLabel | Segment):
        raise UsageError(f"balance weighs classes: it is not for {task.name}.")
    if isinstance(balance, ClassWeights):
        balance.of(classes)


def loss_weights(balance: Balance | None, task: AnyTask, train: Dataset) -> tuple[float, ...] | None:
    """The weight of each class in the loss; None where all are alike.

    Of a classifier by frequency: n / (K n_c), where n_c of the n training samples are of class c, and K classes have
    samples (scikit-learn's `compute_class_weight("balanced")`, after King and Zeng 2001). A class without samples has
    1. Of multi-label classification they weigh the positive labels alone: (n - n_c) / n_c, as torch's documentation of
    `BCEWithLogitsLoss(pos_weight)` has it. Of segmentation n are pixels, and the square root is taken, since classes
    there differ a hundredfold (docs/log.md); all masks are read for it.

    Raises:
        UsageError, DataError: as `check_balance`.
    """
    check_balance(balance, task, train.classes)
    if balance is None or balance == "sampling":
        return None
    if isinstance(balance, ClassWeights):
        return balance.of(train.classes)
    import numpy as np

    if isinstance(task, Segment):
        from resnets.tasks.segmentation.frequencies import count_pixels

        return tuple(np.sqrt(_balanced(count_pixels(train))).tolist())
    labels, count = np.asarray(train.targets["labels"]), len(train)
    if isinstance(task, MultiLabel):
        positive = labels.astype(np.int64).sum(0)
        return tuple(((count - positive) / np.maximum(positive, 1)).tolist()) if count else None
    return tuple(_balanced(np.bincount(labels, minlength=len(train.classes))).tolist())


def _balanced(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(classes,) n / (K n_c) where `counts` are the n_c, of which K are above 0; 1 for the others."""
    import numpy as np

    found = counts.sum() / (max(np.count_nonzero(counts), 1) * np.maximum(counts, 1))
    return np.where(counts > 0, found, 1.0)


def sampled_labels(balance: Balance | None, train: Dataset) -> NDArray[np.int64] | None:
    """(N,) the class of each training sample where `balance` draws as many samples of each; else None."""
    if balance != "sampling":
        return None
    import numpy as np

    return np.asarray(train.targets["labels"]).astype(np.int64)


def _of_json(text: str) -> list[tuple[str, float]]:
    data = parse_json(text)
    return [(name, _number(name, value)) for name, value in data.items()]


def _of_csv(text: str) -> list[tuple[str, float]]:
    rows = [row for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)]
    if wrong := next((row for row in rows if len(row) != 2), None):
        raise ValueError(f"a row has {len(wrong)} cells, not 2")
    pairs = [(name.strip(), value.strip()) for name, value in rows]
    if pairs and not _is_number(pairs[0][1]):
        pairs = pairs[1:]  # a header
    return [(name, _number(name, value)) for name, value in pairs]


def _number(name: str, value: object) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool) and _is_number(value):
        return float(value)
    raise ValueError(f"{name!r} has {str(value)[:40]!r}, which is no number")


def _is_number(value: str | float) -> bool:
    try:
        return math.isfinite(float(value))
    except (ValueError, OverflowError):
        return False
