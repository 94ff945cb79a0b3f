"""Exact scores: every sample once, whatever the batch size and the number of workers."""

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
        ids: (N,) numbers of the images that were scored, rising.
        records: what the task observed of each of them, (N,) each.
        metrics: the task's figures over all of them.
        excluded: message by number, for images that could not be read. They count nowhere else.
        split: of the data, which was scored.
        notes: what a person should know about how the data was read, a line each.
        damaged: message by name, for them and, after training, for all files of the run that could not be read.
    """

    ids: NDArray[np.int64]
    records: SampleRecords
    metrics: dict[str, Any]
    excluded: dict[int, str]
    split: SplitName = "test"
    notes: tuple[str, ...] = ()
    damaged: dict[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        """A figure by its name, such as `scores.accuracy`."""
        if name != "metrics" and name in self.metrics:
            return self.metrics[name]
        raise AttributeError(name)

    def summary(self) -> dict[str, Any]:
        """The metrics, the number excluded, the split, and what was damaged (message by name), JSON-ready."""
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
    """Scores `predictor` in float32 on every image of `dataset`.

    Args:
        split: what `dataset` is of its dataset.
        labels, classes: in place of the source's, where the model orders its classes otherwise.
        workers: threads that decode; the result does not depend on it.
        batch: images at a time. The network sees the same images together whatever else is set, so only this
            can change a logit's last bit.
        rank, world, gather: this process among several that share the batches; `gather` gives every rank's value to
            all of them. Each gets the whole result.
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
        # Every image of this share of the order, so that one that is damaged moves no other.
        shares = [range(n, min(n + batch, len(dataset))) for n in range(rank * batch, len(dataset), world * batch)]
        for indices, found in zip(shares, prefetch(pool, load, shares), strict=True):
            excluded |= {i: seen for i, seen in zip(indices, found, strict=True) if isinstance(seen, str)}
            good = [i for i in indices if i not in excluded]
            if good:
                outputs = predictor.predict([seen for seen in found if not isinstance(seen, str)])
                observed = task.evaluate_batch(outputs, torch.from_numpy(labels[good]).to(outputs.device))
                parts.append((good, {name: value.cpu().numpy() for name, value in observed.items()}))
    everyone = gather((parts, excluded))
    parts = sorted((part for own, _ in everyone for part in own), key=lambda part: part[0])
    excluded = dict(sorted((i, reason) for _, own in everyone for i, reason in own.items()))
    if not parts:
        raise DataError(f"None of the {len(dataset)} images could be read: {next(iter(excluded.values()), 'none')}")
    records = {name: np.concatenate([part[name] for _, part in parts]) for name in parts[0][1]}
    ids = np.array([i for good, _ in parts for i in good], np.int64)
    damaged = {dataset.name(i): reason for i, reason in excluded.items()}
    return Scores(ids, records, task.metrics(records, classes), excluded, split, damaged=damaged)


def labels_for(dataset: Dataset, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """The labels of `dataset` as numbers into `classes`, matched by name.

    Raises:
        DataError: a class of the source is none of `classes`.
    """
    strangers = [name for name in dataset.classes if name not in classes]
    if strangers:
        raise DataError(
            f"The data has classes that the model does not know: {', '.join(strangers[:8])}. "
            f"It knows {', '.join(classes[:8])}{' and more' if len(classes) > 8 else ''}."
        )
    table = np.array([classes.index(name) for name in dataset.classes], np.int64)
    return table[dataset.labels]


def absent(dataset: Dataset, classes: tuple[str, ...]) -> tuple[str, ...]:
    """A note on the model's `classes` that `dataset` does not have, if there are any."""
    without = [name for name in classes if name not in dataset.classes]
    if not without:
        return ()
    more = f" and {len(without) - 8} more" if len(without) > 8 else ""
    return (f"The model knows {len(without)} classes that the data does not have: {', '.join(without[:8])}{more}.",)
