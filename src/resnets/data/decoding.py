"""The samples of a training batch: read by threads, or taken from memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnets.core.devices import abilities, to_device
from resnets.core.errors import DataError
from resnets.modalities.base import NOUNS, Arrays, Dataset
from resnets.modalities.batch import Draws
from resnets.modalities.reader import Reader

SAMPLES_A_TASK = 8

Submit = Callable[..., "Future[None]"]  # as `ThreadPoolExecutor.submit`


@dataclass(frozen=True)
class DecodedSamples:
    """The samples of some rows of a batch.

    Args:
        arrays: (N, ...) by name, as `Reader.slots` says.
        ragged: by name, as `Reader.ragged` says, the rows of each sample.
        ids: (N,) the samples that they show.
        damaged: reasons by row, of rows whose own sample cannot be read.
    """

    arrays: dict[str, Tensor]
    ids: NDArray[np.int64]
    damaged: dict[int, str] = field(default_factory=dict)
    ragged: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)

    def ragged_on(self, device: torch.device) -> dict[str, tuple[Tensor, ...]]:
        """The ragged arrays on `device`; those of all samples are copied there at once."""
        if device.type == "cpu":
            return self.ragged
        return {
            name: to_device(torch.cat(values), device).split([len(each) for each in values])
            for name, values in self.ragged.items()
        }


@dataclass(frozen=True)
class DecodingTask:
    """What to read: some rows of one global batch.

    Args:
        ids: (batch,) the samples of the global batch.
        draws: the random numbers of the step.
        rows: the rows to read.
        size: of the inputs, where it changes during training.
    """

    ids: NDArray[np.int64]
    draws: Draws
    rows: slice
    size: int | None


class ResidentSamples:
    """Inputs that are in the device's memory, prepared as for evaluation.

    Args:
        prepared: (samples, ...), see `Reader.examine`.
    """

    def __init__(self, prepared: NDArray[Any], device: torch.device) -> None:
        self.inputs = torch.from_numpy(prepared).to(device)

    def take(self, ids: NDArray[np.int64]) -> DecodedSamples:
        return DecodedSamples({"inputs": self.inputs[to_device(ids, self.inputs.device)]}, ids)


class SampleDecoder:
    """Reads the samples of a dataset.

    Args:
        bn_batch: rows of a ghost batch, within which damaged rows are replaced.
        device: what the samples are read for.
        replace_damaged: a row whose sample cannot be read repeats the next readable row of its ghost batch (after
            the last, the first), on every rank that makes the row.
    """

    def __init__(
        self, dataset: Dataset, reader: Reader, *, bn_batch: int, device: torch.device, replace_damaged: bool
    ) -> None:
        self.dataset = dataset
        self.reader = reader
        self.bn_batch = bn_batch
        self.replace_damaged = replace_damaged
        self._pinned = abilities(device).pinned

    def start(self, task: DecodingTask, submit: Submit) -> Callable[[], DecodedSamples]:
        """Starts reading; the function that is returned waits for the samples.

        Raises:
            DataError: from that function, where no sample of a ghost batch can be read and damaged ones are replaced.
        """
        ids, u, numbers = task.ids[task.rows], task.draws.u[task.rows], task.draws.rows
        tensors = {
            # Pinned, they are copied to the device while the host goes on.
            name: torch.empty((len(ids), *slot.shape), dtype=_torch_dtype(slot.dtype), pin_memory=self._pinned)
            for name, slot in self.reader.slots(task.size).items()
        }
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        ragged: dict[int, Arrays] = {}

        def keep(row: int, sample: Arrays) -> None:
            into = {name: array[row, ...] for name, array in arrays.items()}
            self.reader.write(sample, into, None if numbers is None else numbers[row])
            ragged[row] = {name: sample[name] for name in self.reader.ragged}

        damaged: dict[int, str] = {}

        def read(rows: range) -> None:
            for row in rows:
                try:
                    keep(row, self.reader.sample(self.dataset, int(ids[row]), u[row], task.size))
                except DataError as error:
                    damaged[row] = str(error)

        pending = [
            submit(read, range(first, min(first + SAMPLES_A_TASK, len(ids))))
            for first in range(0, len(ids), SAMPLES_A_TASK)
        ]

        def wait() -> DecodedSamples:
            for each in pending:
                each.result()
            used = ids.copy()
            for row, reason in damaged.items() if self.replace_damaged else ():
                used[row], sample = self._next_readable(task.rows.start + row, task, reason)
                keep(row, sample)
            rows = {
                name: tuple(torch.from_numpy(ragged[row][name]) for row in range(len(used)))
                for name in self.reader.ragged
                if len(ragged) == len(used)  # else a damaged row is an error
            }
            return DecodedSamples(tensors, used, dict(sorted(damaged.items())), rows)

        return wait

    def _next_readable(self, row: int, task: DecodingTask, reason: str) -> tuple[int, Arrays]:
        """Number and sample of the next row in the ghost batch of `row`, of the global batch, that can be read.

        It is read again, with its own random numbers, as it may be a row that another rank makes.
        """
        first = row // self.bn_batch * self.bn_batch
        for further in range(1, self.bn_batch):
            other = first + (row - first + further) % self.bn_batch
            index = int(task.ids[other])
            with contextlib.suppress(DataError):
                return index, self.reader.sample(self.dataset, index, task.draws.u[other], task.size)
        noun = NOUNS[self.dataset.modality]
        raise DataError(f"None of the {self.bn_batch} {noun}s of a batch can be read: {reason}")


def _torch_dtype(dtype: object) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype  # type: ignore[call-overload]
