"""Training batches: a pure function of (seed, step).

The samples of a step and all that is random about them are drawn from counters (`resnets.core.rng`), so workers, ranks
and resumed runs need no state: a batch can be made anywhere, in any order, and is the same.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from numpy.typing import NDArray

from resnets.core.devices import to_device
from resnets.core.errors import DataError
from resnets.data.batch_rng import StepRNG
from resnets.data.decoding import DecodedSamples, DecodingTask, ResidentSamples, SampleDecoder, Submit
from resnets.data.sampler import EpochSampler
from resnets.modalities.base import Dataset
from resnets.modalities.batch import Batch
from resnets.modalities.reader import Reader

PREFETCHED_BATCHES = 2


class Batches:
    """The training batches of one run.

    Args:
        reader: turns the samples into inputs, with the augmentations of training.
        bn_batch: samples of a ghost batch, within which samples are mixed.
        rows: the rows of each global batch that are made; random numbers are those of the whole batch.
        workers: threads that read samples ahead of the training step; with 0, the calling thread does it. (Pillow's
            decoders and resizers release Python's lock.) The batches are the same.
        prepared: all of the dataset's samples as `Reader.examine` prepares them, where they are in memory.
        size_at: the size of the inputs of a step, where it changes during training.
        replace_damaged: what to do about a sample that cannot be read: its row repeats the next readable row of its
            ghost batch (after the last, the first) with weight 0, on every rank that makes the row; otherwise it is
            an error.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        sampler: EpochSampler,
        reader: Reader,
        seed: int,
        bn_batch: int,
        device: torch.device,
        rows: slice | None = None,
        workers: int = 0,
        prepared: NDArray[Any] | None = None,
        size_at: Callable[[int], int | None] = lambda step: None,
        replace_damaged: bool = False,
    ) -> None:
        self.dataset = dataset
        self.replace_damaged = replace_damaged
        # Called with step (from 0), sample and reason when a batch is due in which a row of ours is damaged.
        self.on_damaged: Callable[[int, int, str], None] = lambda step, sample, reason: None
        self.sampler = sampler
        self.seed = seed
        self.bn_batch = bn_batch
        self.device = device
        rows = rows or slice(0, sampler.batch)
        # Samples are mixed within whole ghost batches, though only a micro-batch of one is wanted.
        start, stop = rows.start // bn_batch * bn_batch, -(-rows.stop // bn_batch) * bn_batch
        self.rows = slice(start, stop) if reader.mixes else rows
        self._wanted = slice(rows.start - self.rows.start, rows.stop - self.rows.start)
        self.workers = workers
        self._size_at = size_at
        self._targets = {name: torch.from_numpy(values).to(device) for name, values in dataset.targets.items()}
        self._resident = ResidentSamples(prepared, device) if prepared is not None and reader.resident else None
        self._reader = reader.finishing_early() if self._resident is None and device.type == "cpu" else reader
        self._decoder = SampleDecoder(
            dataset, self._reader, bn_batch=bn_batch, device=device, replace_damaged=replace_damaged
        )

    def make(self, step: int) -> Batch:
        """The batch of `step`: "ids" (N,), "inputs" (N, ...) as the network gets them, the targets by name, and what
        mixing adds; see `Batch`.

        Where a row repeats another one because its own sample is damaged, "ids" and the targets are that one's, and
        there is "weights" (N,) float32: 0 for such rows and 1 for the others.

        Raises:
            DataError: a sample cannot be read and has no replacement.
        """
        return self._finish(step, self._start(step, _run_now))

    def between(self, start: int, stop: int | Callable[[], int]) -> Iterator[Batch]:
        """The batches of the steps from `start` up to `stop`, read ahead by the workers.

        Args:
            stop: or a function that returns it, where it changes meanwhile.
        """
        steps = itertools.takewhile(lambda step: step < (stop() if callable(stop) else stop), itertools.count(start))
        if not self.workers:
            yield from map(self.make, steps)
            return
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="decode")
        waiting: collections.deque[tuple[int, Callable[[], DecodedSamples]]] = collections.deque()
        try:
            for step in steps:
                waiting.append((step, self._start(step, pool.submit)))
                if len(waiting) > PREFETCHED_BATCHES:
                    yield self._finish(*waiting.popleft())
            while waiting:
                yield self._finish(*waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _rng(self, step: int) -> StepRNG:
        return StepRNG(self.seed, step, self.sampler, self.rows, self.bn_batch, self.device)

    def _start(self, step: int, submit: Submit) -> Callable[[], DecodedSamples]:
        """Starts reading the samples of `step`; the function that is returned waits for them."""
        ids = self.sampler.ids(step)
        if (resident := self._resident) is not None:
            return lambda: resident.take(ids[self.rows])
        task = DecodingTask(ids, self._reader.draw(self._rng(step)), self.rows, self._size_at(step))
        return self._decoder.start(task, submit)

    def _finish(self, step: int, wait: Callable[[], DecodedSamples]) -> Batch:
        decoded = wait()
        self._report(step, decoded.damaged)
        ids = to_device(decoded.ids, self.device)
        dense = {"ids": ids} | {name: to_device(array, self.device) for name, array in decoded.arrays.items()}
        dense |= {name: values[ids] for name, values in self._targets.items()}
        if decoded.damaged:
            weights = torch.ones(len(decoded.ids))
            weights[list(decoded.damaged)] = 0
            dense["weights"] = to_device(weights, self.device)
        batch = self._reader.finish(Batch(dense, decoded.ragged_on(self.device)), self._rng(step))
        return batch.rows(self._wanted) if self._reader.mixes else batch

    def _report(self, step: int, damaged: dict[int, str]) -> None:
        """Reports the damaged rows that are ours alone to make.

        Raises:
            DataError: there are damaged rows, and they are not replaced.
        """
        samples = self.sampler.ids(step)[self.rows] if damaged else ()
        for row, reason in damaged.items():
            if self._wanted.start <= row < self._wanted.stop:
                self.on_damaged(step, int(samples[row]), reason)
        if damaged and not self.replace_damaged:
            raise DataError(next(iter(damaged.values())))


def _run_now(task: Callable[..., None], *arguments: object) -> Future[None]:
    """As a pool's `submit`, but runs `task` in the calling thread, before it returns."""
    done: Future[None] = Future()
    task(*arguments)
    done.set_result(None)
    return done
