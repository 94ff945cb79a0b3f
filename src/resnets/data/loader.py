"""Training batches: a pure function of (seed, step).

The samples of a step and every crop, flip and mix are drawn from counters (`resnets.core.rng`), so workers, ranks and
resumed runs need no state: a batch can be made anywhere, in any order, and is the same.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from resnets.core.devices import to_device
from resnets.core.errors import DataError
from resnets.data.batch_rng import StepRNG
from resnets.data.decoding import DecodedImages, DecodingTask, ImageDecoder, ResidentImages, Submit
from resnets.data.sampler import EpochSampler
from resnets.modalities.base import Dataset
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.read.pillow import Pixels
from resnets.modalities.image.transforms import Augmentations
from resnets.modalities.image.transforms.normalize import normalize

Batch = dict[str, Tensor]
PREFETCHED_BATCHES = 2


class Batches:
    """The training batches of one run.

    Args:
        preprocessing: the size, colour and normalisation that evaluation uses too; without `augmentations.crop`,
            training resizes and crops as evaluation does.
        bn_batch: samples of a ghost batch, within which images are mixed.
        rows: the rows of each global batch that are made; random numbers are those of the whole batch.
        workers: threads that decode and crop ahead of the training step; with 0, the calling thread does it. (Pillow's
            decoders and resizers release Python's lock.) The batches are the same.
        pixels: all of the dataset's images as `prepare` makes them, where they are in memory.
        size_at: height and width of the images of a step; by default the preprocessing's.
        replace_damaged: what to do about an image that cannot be decoded: its row repeats the next readable row of
            its ghost batch (after the last, the first) with weight 0, on every rank that makes the row; otherwise it
            is an error.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        sampler: EpochSampler,
        augmentations: Augmentations,
        preprocessing: Preprocessing,
        seed: int,
        bn_batch: int,
        device: torch.device,
        rows: slice | None = None,
        workers: int = 0,
        pixels: Pixels | None = None,
        size_at: Callable[[int], int] | None = None,
        replace_damaged: bool = False,
    ) -> None:
        self.dataset = dataset
        self.replace_damaged = replace_damaged
        # Called with step (from 0), sample and reason when a batch is due in which a row of ours is damaged.
        self.on_damaged: Callable[[int, int, str], None] = lambda step, sample, reason: None
        self.sampler = sampler
        self.augmentations = augmentations
        self.preprocessing = preprocessing
        self.seed = seed
        self.bn_batch = bn_batch
        self.device = device
        rows = rows or slice(0, sampler.batch)
        # Images are mixed within whole ghost batches, though only a micro-batch of one is wanted.
        start, stop = rows.start // bn_batch * bn_batch, -(-rows.stop // bn_batch) * bn_batch
        self.rows = slice(start, stop) if augmentations.mix else rows
        self._wanted = slice(rows.start - self.rows.start, rows.stop - self.rows.start)
        self.workers = workers
        self._size_at = size_at or (lambda step: preprocessing.crop)
        self._labels = torch.from_numpy(dataset.labels).to(device)
        usable = pixels if augmentations.crop is None else None
        self._resident = ResidentImages(usable, device) if usable is not None else None
        self._decoder = ImageDecoder(
            dataset,
            crop=augmentations.crop,
            preprocessing=preprocessing,
            bn_batch=bn_batch,
            device=device,
            replace_damaged=replace_damaged,
        )
        # Decoded on the CPU for the CPU, an image is also flipped and normalised where it was decoded, while it is in
        # that core's cache: one pass over memory in place of four over whole batches, to the same bits.
        self._finished_where_decoded = self._resident is None and device.type == "cpu" and augmentations.only_flips()

    def make(self, step: int) -> Batch:
        """The batch of `step`: "ids" (N,), "images" (N, C, H, W) float32 normalised, "labels" (N,) and, where
        images are mixed, "partner_labels" (N,) and "lam" (N,), the weight of "labels".

        Where a row repeats another one because its own image is damaged, "ids" and "labels" are that one's, and
        there is "weights" (N,) float32: 0 for such rows and 1 for the others.

        Raises:
            DataError: an image cannot be decoded and has no replacement.
        """
        return self._finish(step, self._start(step, _run_now))

    def between(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of the steps from `start` up to `stop`, decoded ahead by the workers."""
        if not self.workers:
            yield from (self.make(step) for step in range(start, stop))
            return
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="decode")
        waiting: collections.deque[tuple[int, Callable[[], DecodedImages]]] = collections.deque()
        try:
            for step in range(start, stop):
                waiting.append((step, self._start(step, pool.submit)))
                if len(waiting) > PREFETCHED_BATCHES:
                    yield self._finish(*waiting.popleft())
            while waiting:
                yield self._finish(*waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _rng(self, step: int) -> StepRNG:
        return StepRNG(self.seed, step, self.sampler, self.rows, self.bn_batch, self.device)

    def _start(self, step: int, submit: Submit) -> Callable[[], DecodedImages]:
        """Starts decoding the images of `step`; the function that is returned waits for them."""
        ids = self.sampler.ids(step)
        if (resident := self._resident) is not None:
            return lambda: resident.take(ids[self.rows])
        rng, crop = self._rng(step), self.augmentations.crop
        # The text "crop" is part of the data format: another one gives other batches.
        u = rng.generator("crop").random((len(ids), crop.numbers if crop else 0), np.float32)
        flipped = self.augmentations.flipped(rng) if self._finished_where_decoded else None
        return self._decoder.start(DecodingTask(ids, u, self.rows, self._size_at(step), flipped), submit)

    def _finish(self, step: int, wait: Callable[[], DecodedImages]) -> Batch:
        decoded = wait()
        self._report(step, decoded.damaged)
        images, rng = to_device(decoded.pixels, self.device), self._rng(step)
        if not self._finished_where_decoded:
            images = self.augmentations.apply_to_batch(images, rng, self.preprocessing.color)
            images = normalize(images, self.preprocessing)
        ids = to_device(decoded.ids, self.device)
        batch = {"ids": ids, "images": images, "labels": self._labels[ids]}
        if decoded.damaged:
            weights = torch.ones(len(decoded.ids))
            weights[list(decoded.damaged)] = 0
            batch["weights"] = to_device(weights, self.device)
        if self.augmentations.mix:
            batch["images"], partners, batch["lam"] = self.augmentations.mix_batch(images, rng)
            batch["partner_labels"] = batch["labels"][partners]
            batch = {name: value[self._wanted] for name, value in batch.items()}
        return batch

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
