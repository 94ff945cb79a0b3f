"""Exact scores: every sample counts once, whatever the batch size and the number of workers and ranks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resnets.core import display
from resnets.core.console import printable
from resnets.core.devices import full_float32
from resnets.core.errors import DataError, unknown
from resnets.data.prefetch import prefetch
from resnets.evaluation.display import headline, page
from resnets.evaluation.predictor import BATCH, Outputs, Predictor
from resnets.modalities.base import NOUNS, Arrays, Dataset, SplitName
from resnets.modalities.batch import Batch
from resnets.modalities.class_names import same_names
from resnets.tasks.base import SampleRecords, Task
from resnets.tasks.records import column

Gather = Callable[[Any], list[Any]]
RAGGED_BATCH = 4  # samples of any size, which are read at a time: their outputs, such as masks, are large


@dataclass(frozen=True, repr=False)
class Scores:
    """The result of an evaluation: metrics, and what is known of each of the N samples.

    `scores.metrics["accuracy"]` and `scores.accuracy` are the same number. A notebook shows the metrics.

    Args:
        ids: (N,) indices of the samples that were scored, in ascending order.
        records: the task's records of these samples by name, (N, ...) each: of a classifier "label", "predicted",
            "confidence", "loss" and what else its metrics need. Boxes and the like, of which each sample has its own
            number, are (N,) objects with an array a sample.
        metrics: the task's figures over these samples, by the names of `evaluate --json`, ready for JSON: fractions of
            1; "classes" has those of each class by its name.
        excluded: the error message by index, for samples that could not be read. They are in no other field.
        split: the split that was scored.
        task: the name of the task, as in the model file.
        data: what `--data` names, where that is known.
        notes: what a user should know about how the data was read, a line each.
        size: of the images in pixels, one number or (height, width), where it is not the model's own.
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
    size: int | tuple[int, int] | None = None

    def __getattr__(self, name: str) -> Any:
        """A metric by its name, such as `scores.accuracy`.

        Raises:
            AttributeError: there is no such metric; the message has the nearest, or all.
        """
        if name.startswith("__") or name == "metrics":
            raise AttributeError(name)
        if name in self.metrics:
            return self.metrics[name]
        raise AttributeError(str(unknown("metric of these scores", name, self.metrics)), name=name, obj=self)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(name for name in self.metrics if name.isidentifier())})

    def __repr__(self) -> str:
        of_data = "" if self.data is None else f" of {printable(self.data)}"
        return f"Scores({headline(self.task, self.summary())}{of_data})"

    def _repr_html_(self) -> str:
        of_data = "" if self.data is None else f" of {printable(self.data)}"
        title = f"{self.split}{of_data}: {headline(self.task, self.metrics)}"
        rows = [(printable(name), printable(reason)) for name, reason in self.damaged.items()]
        damaged = display.table(["cannot be read", "why"], rows, f"{len(rows):,} cannot be read") if rows else ""
        return page(title, self.task, self.metrics, below=damaged)

    def summary(self) -> dict[str, Any]:
        """The metrics, the number of samples excluded, the split and the damaged files, ready for JSON."""
        return {**self.metrics, "excluded": len(self.excluded), "split": self.split, "damaged": self.damaged}


@torch.inference_mode()
@full_float32()
def score(
    predictor: Predictor,
    task: Task,
    dataset: Dataset,
    *,
    split: SplitName = "test",
    classes: tuple[str, ...] | None = None,
    choose: bool = False,
    watched: SplitName = "val",
    workers: int = 0,
    batch: int | None = None,
    rank: int = 0,
    world: int = 1,
    gather: Gather = lambda own: [own],
) -> Scores:
    """Scores `predictor` on every sample of `dataset`, in float32 at full precision.

    Args:
        split: the name of the split that `dataset` is.
        classes: the model's, which the dataset's are matched with by name; by default the dataset's.
        choose: whether what is chosen on `val`, such as thresholds, is chosen on these samples.
        watched: the split whose loss is recorded even where that takes another pass through the network, as that of
            detection does: the one that training watches.
        workers: threads that read samples; the result does not depend on it.
        batch: samples at a time. The batches are the same whatever else is set, so only this argument can change the
            last bit of an output.
        rank, world, gather: the number of this process among `world` that share the batches. `gather` returns the
            values of all ranks on each of them, and each rank returns the whole result.

    Raises:
        DataError: no sample could be read, or the dataset has a class that is not in `classes`.
    """
    classes = dataset.classes if classes is None else classes
    order = class_order(dataset, classes)
    dense = task.reorder(dict(dataset.targets), order)
    with_sample = not dense.keys() >= set(task.settings.targets)  # such as masks
    batch = batch or batch_of(task)
    parts: list[tuple[list[int], SampleRecords]] = []
    excluded: dict[int, str] = {}

    def load(index: int) -> Any:
        try:
            targets = task.reorder(dataset.target(index), order) if with_sample else {}
            return predictor.load(dataset, index), targets
        except DataError as error:
            return str(error)

    with ThreadPoolExecutor(max(1, workers)) as pool:
        # Batches are cut before anything is read, so that a damaged sample moves no other into another batch.
        batches = [range(n, min(n + batch, len(dataset))) for n in range(rank * batch, len(dataset), world * batch)]
        for indices, loaded in zip(batches, prefetch(pool, load, batches), strict=True):
            excluded |= {i: each for i, each in zip(indices, loaded, strict=True) if isinstance(each, str)}
            good = [i for i in indices if i not in excluded]
            if good:
                pairs = [each for each in loaded if not isinstance(each, str)]
                outputs = predictor.predict([inputs for inputs, _ in pairs])
                targets = _targets(dense, good, [own for _, own in pairs])
                batch_records = dict(task.evaluate_batch(outputs, targets, choose=choose))
                if split == watched:
                    losses = predictor.losses([inputs for inputs, _ in pairs], targets, good)
                    batch_records |= {} if losses is None else {"loss": losses}
                parts.append((good, {name: column(values) for name, values in batch_records.items()}))
    of_all_ranks = gather((parts, excluded))
    parts = sorted((part for own, _ in of_all_ranks for part in own), key=lambda part: part[0])
    excluded = dict(sorted((i, reason) for _, own in of_all_ranks for i, reason in own.items()))
    if not parts:
        first, noun = next(iter(excluded.values()), "none"), NOUNS[dataset.modality]
        raise DataError(f"None of the {len(dataset)} {noun}s could be read: {first}")
    records = {name: np.concatenate([part[name] for _, part in parts]) for name in parts[0][1]}
    ids = np.array([i for good, _ in parts for i in good], np.int64)
    if choose:
        task, records = task.choose(records)
    metrics = task.metrics(records, classes)
    damaged = {dataset.name(i): reason for i, reason in excluded.items()}
    return Scores(ids, records, metrics, excluded, split, task.settings.name, damaged=damaged)


def batch_of(task: Outputs) -> int:
    """How many samples are read and predicted at a time."""
    return BATCH if task.settings.fixed else RAGGED_BATCH


def _targets(dense: Arrays, rows: list[int], ragged: list[Arrays]) -> Batch:
    """The targets of some samples: `rows` of the dense ones, and those that were read with each sample."""
    names = [name for name in ragged[0] if name not in dense]
    return Batch(
        {name: torch.from_numpy(np.ascontiguousarray(values[rows])) for name, values in dense.items()},
        {name: tuple(torch.from_numpy(each[name]) for each in ragged) for name in names},
    )


def class_order(dataset: Dataset, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """(classes of the dataset,) the number that each has in `classes`, matched by name (`same_names`).

    Raises:
        DataError: the dataset has a class that is not in `classes`.
    """
    known = same_names(dataset.classes, classes, "The data")
    unknown = [name for name in dataset.classes if name not in known]
    if unknown:
        raise DataError(
            f"The data has classes that the model does not know: {', '.join(unknown[:8])}. "
            f"It knows {', '.join(classes[:8])}{' and more' if len(classes) > 8 else ''}."
        )
    numbers = {name: number for number, name in enumerate(classes)}
    return np.array([numbers[known[name]] for name in dataset.classes], np.int64)


def absent(dataset: Dataset, classes: tuple[str, ...]) -> tuple[str, ...]:
    """A note that names the model's `classes` that `dataset` does not have; empty if it has them all."""
    found = set(same_names(dataset.classes, classes, "The data").values())
    missing = [name for name in classes if name not in found]
    if not missing:
        return ()
    more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
    return (f"The model knows {len(missing)} classes that the data does not have: {', '.join(missing[:8])}{more}.",)
