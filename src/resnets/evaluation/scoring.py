"""Exact scores: every sample counts once, whatever the batch size and the number of workers and ranks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resnets.core.devices import full_float32
from resnets.core.errors import DataError
from resnets.data.prefetch import prefetch
from resnets.evaluation.predictor import BATCH, Predictor
from resnets.modalities.base import Dataset, SplitName
from resnets.tasks.base import SampleRecords, Task

Gather = Callable[[Any], list[Any]]


@dataclass(frozen=True)
class Scores:
    """The result of an evaluation.

    Args:
        ids: (N,) indices of the images that were scored, in ascending order.
        records: the task's records of these images, (N,) each.
        metrics: the task's figures over these images.
        excluded: the error message by index, for images that could not be read. They are in no other field.
        split: the split that was scored.
        task: the name of the task, as in the model file.
        data: what `--data` names, where that is known.
        notes: what a user should know about how the data was read, a line each.
        damaged: the error message by file name: of the excluded images and, after training, of every file of the run
            that could not be read.
    """

    ids: NDArray[np.int64]
    records: SampleRecords
    metrics: dict[str, Any]
    excluded: dict[int, str]
    split: SplitName = "test"
    task: str = ""
    data: str | None = None
    notes: tuple[str, ...] = ()
    damaged: dict[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        """A metric by its name, such as `scores.accuracy`."""
        if name != "metrics" and name in self.metrics:
            return self.metrics[name]
        raise AttributeError(name)

    def summary(self) -> dict[str, Any]:
        """The metrics, the number of images excluded, the split and the damaged files, ready for JSON."""
        return {**self.metrics, "excluded": len(self.excluded), "split": self.split, "damaged": self.damaged}


@torch.inference_mode()
@full_float32()
def score(
    predictor: Predictor,
    task: Task,
    dataset: Dataset,
    *,
    split: SplitName = "test",
    labels: NDArray[np.int64] | None = None,
    classes: tuple[str, ...] | None = None,
    workers: int = 0,
    batch: int = BATCH,
    rank: int = 0,
    world: int = 1,
    gather: Gather = lambda own: [own],
) -> Scores:
    """Scores `predictor` on every image of `dataset`, in float32 at full precision.

    Args:
        split: the name of the split that `dataset` is.
        labels, classes: used instead of the dataset's own, where the model has its classes in another order; see
            `labels_for`.
        workers: threads that decode; the result does not depend on it.
        batch: images at a time. The batches are the same whatever else is set, so only this argument can change the
            last bit of a logit.
        rank, world, gather: the number of this process among `world` that share the batches. `gather` returns the
            values of all ranks on each of them, and each rank returns the whole result.

    Raises:
        DataError: no image could be read.
    """
    labels = dataset.labels if labels is None else labels
    classes = dataset.classes if classes is None else classes
    parts: list[tuple[list[int], SampleRecords]] = []
    excluded: dict[int, str] = {}

    def load(index: int) -> Any:
        try:
            return predictor.load(dataset, index)
        except DataError as error:
            return str(error)

    with ThreadPoolExecutor(max(1, workers)) as pool:
        # Batches are cut before anything is read, so that a damaged image moves no other into another batch.
        batches = [range(n, min(n + batch, len(dataset))) for n in range(rank * batch, len(dataset), world * batch)]
        for indices, loaded in zip(batches, prefetch(pool, load, batches), strict=True):
            excluded |= {i: each for i, each in zip(indices, loaded, strict=True) if isinstance(each, str)}
            good = [i for i in indices if i not in excluded]
            if good:
                outputs = predictor.predict([each for each in loaded if not isinstance(each, str)])
                batch_records = task.evaluate_batch(outputs, torch.from_numpy(labels[good]).to(outputs.device))
                parts.append((good, {name: value.cpu().numpy() for name, value in batch_records.items()}))
    of_all_ranks = gather((parts, excluded))
    parts = sorted((part for own, _ in of_all_ranks for part in own), key=lambda part: part[0])
    excluded = dict(sorted((i, reason) for _, own in of_all_ranks for i, reason in own.items()))
    if not parts:
        raise DataError(f"None of the {len(dataset)} images could be read: {next(iter(excluded.values()), 'none')}")
    records = {name: np.concatenate([part[name] for _, part in parts]) for name in parts[0][1]}
    ids = np.array([i for good, _ in parts for i in good], np.int64)
    damaged = {dataset.name(i): reason for i, reason in excluded.items()}
    return Scores(ids, records, task.metrics(records, classes), excluded, split, task.name, damaged=damaged)


def labels_for(dataset: Dataset, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """(N,) labels of `dataset` as indices of `classes`, matched by name.

    Raises:
        DataError: the dataset has a class that is not in `classes`.
    """
    unknown = [name for name in dataset.classes if name not in classes]
    if unknown:
        raise DataError(
            f"The data has classes that the model does not know: {', '.join(unknown[:8])}. "
            f"It knows {', '.join(classes[:8])}{' and more' if len(classes) > 8 else ''}."
        )
    table = np.array([classes.index(name) for name in dataset.classes], np.int64)
    return table[dataset.labels]


def absent(dataset: Dataset, classes: tuple[str, ...]) -> tuple[str, ...]:
    """A note that names the model's `classes` that `dataset` does not have; empty if it has them all."""
    missing = [name for name in classes if name not in dataset.classes]
    if not missing:
        return ()
    more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
    return (f"The model knows {len(missing)} classes that the data does not have: {', '.join(missing[:8])}{more}.",)
