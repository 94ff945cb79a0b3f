"""Exact scores: every sample once, whatever the batch size and the number of workers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from resnets.data.batches import normalize
from resnets.data.pictures import Pixels, prepare
from resnets.data.sources import Source
from resnets.errors import DataError
from resnets.preprocessing import Preprocessing
from resnets.tasks.task import Records, Task

BATCH = 128

Gather = Callable[[Any], list[Any]]


@dataclass(frozen=True)
class Scores:
    """The result of an evaluation.

    Args:
        ids: (N,) numbers of the pictures that were scored, rising.
        records: what the task observed of each of them, (N,) each.
        metrics: the task's figures over all of them.
        excluded: message by number, for pictures that could not be read. They count nowhere else.
    """

    ids: NDArray[np.int64]
    records: Records
    metrics: dict[str, Any]
    excluded: dict[int, str]

    def __getattr__(self, name: str) -> Any:
        """A figure by its name, such as `scores.accuracy`."""
        if name != "metrics" and name in self.metrics:
            return self.metrics[name]
        raise AttributeError(name)

    def summary(self) -> dict[str, Any]:
        """The metrics and the number excluded, JSON-ready."""
        return {**self.metrics, "excluded": len(self.excluded)}


@torch.inference_mode()
def score(
    network: nn.Module,
    task: Task,
    source: Source,
    preprocessing: Preprocessing,
    *,
    labels: NDArray[np.int64] | None = None,
    classes: tuple[str, ...] | None = None,
    pixels: Pixels | None = None,
    device: torch.device | None = None,
    workers: int = 0,
    batch: int = BATCH,
    rank: int = 0,
    world: int = 1,
    gather: Gather = lambda own: [own],
) -> Scores:
    """Scores `network` in float32 on every picture of `source`.

    Args:
        labels, classes: in place of the source's, where the model orders its classes otherwise.
        pixels: the source's pictures as `prepare` makes them, where they are in memory.
        workers: threads that decode; the result does not depend on it.
        batch: pictures at a time. The network sees the same pictures together whatever else is set, so only this
            can change a logit's last bit.
        rank, world, gather: this process among several that share the batches; `gather` gives every rank's value to
            all of them. Each gets the whole result.
    """
    device = device or torch.device("cpu")
    labels = source.labels if labels is None else labels
    classes = source.classes if classes is None else classes
    was_training = network.training
    network.eval()
    parts: list[tuple[list[int], Records]] = []
    excluded: dict[int, str] = {}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for first in range(rank * batch, len(source), world * batch):
            indices = range(first, min(first + batch, len(source)))
            if pixels is not None:
                images, good = torch.from_numpy(pixels[first : indices.stop]), list(indices)
            else:
                # Every picture of this share of the order, so that one that is damaged moves no other.
                found = list(pool.map(lambda i: _read(source, i, preprocessing), indices))
                excluded |= {i: r for i, r in zip(indices, found, strict=True) if isinstance(r, str)}
                good = [i for i in indices if i not in excluded]
                read = [r for r in found if not isinstance(r, str)]
                images = torch.from_numpy(np.stack(read)) if read else torch.empty(0)
            if good:
                outputs = network(_in_layout(normalize(images.to(device), preprocessing)))
                observed = task.observe(outputs, torch.from_numpy(labels[good]).to(device))
                parts.append((good, {name: value.cpu().numpy() for name, value in observed.items()}))
    network.train(was_training)
    everyone = gather((parts, excluded))
    parts = sorted((part for own, _ in everyone for part in own), key=lambda part: part[0])
    excluded = dict(sorted((i, reason) for _, own in everyone for i, reason in own.items()))
    if not parts:
        raise DataError(f"None of the {len(source)} pictures could be read: {next(iter(excluded.values()), 'none')}")
    records = {name: np.concatenate([part[name] for _, part in parts]) for name in parts[0][1]}
    ids = np.array([i for good, _ in parts for i in good], np.int64)
    return Scores(ids, records, task.metrics(records, classes), excluded)


def _in_layout(images: torch.Tensor) -> torch.Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def _read(source: Source, index: int, preprocessing: Preprocessing) -> Pixels | str:
    try:
        return prepare(source.picture(index, preprocessing.color), preprocessing, source.name(index))
    except DataError as error:
        return str(error)


def labels_for(source: Source, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """The labels of `source` as numbers into `classes`, matched by name.

    Raises:
        DataError: a class of the source is none of `classes`.
    """
    strangers = [name for name in source.classes if name not in classes]
    if strangers:
        raise DataError(
            f"The data has classes that the model does not know: {', '.join(strangers[:8])}. "
            f"It knows {', '.join(classes[:8])}{' and more' if len(classes) > 8 else ''}."
        )
    table = np.array([classes.index(name) for name in source.classes], np.int64)
    return table[source.labels]
