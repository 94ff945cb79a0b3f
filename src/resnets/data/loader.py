"""Training batches: a pure function of (seed, step).

The order of samples, every crop, flip and mix is drawn from counters (`resnets.core.rng`), so workers, ranks and
resumed runs need no state: a batch can be made anywhere, in any order, and is the same.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnets.core import rng
from resnets.core.devices import abilities, constant, to_device
from resnets.core.errors import DataError
from resnets.modalities.base import Dataset
from resnets.modalities.image import augment
from resnets.modalities.image.augmentations import Augmentations, Flip, RandomResizedCrop, Transform
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.read import jpeg
from resnets.modalities.image.read.decode_memory import one_image
from resnets.modalities.image.read.pillow import Pixels, open_image, prepare, to_pixels

Batch = dict[str, Tensor]
PREFETCHED_BATCHES = 2
IMAGES_A_TASK = 8


@dataclass(frozen=True)
class Order:
    """Which samples each step sees: one shuffle of all samples after another, cut into batches.

    A batch may begin in one epoch and end in the next, so every batch is full, and each epoch visits each sample
    exactly once.

    Args:
        samples: size of the training set.
        batch: samples a step, over all ranks.
    """

    samples: int
    batch: int
    seed: int

    def ids(self, step: int) -> NDArray[np.int64]:
        """(batch,) sample numbers of `step` (from 0)."""
        positions, epochs = self._positions(step), self.epochs(step)
        ids = np.empty(self.batch, np.int64)
        for epoch in np.unique(epochs):
            chosen = epochs == epoch
            ids[chosen] = _shuffle(self.seed, int(epoch), self.samples)[positions[chosen] % self.samples]
        return ids

    def epochs(self, step: int) -> NDArray[np.int64]:
        """(batch,) the epoch, from 0, that each sample of `step` belongs to."""
        return self._positions(step) // self.samples

    def _positions(self, step: int) -> NDArray[np.int64]:
        return np.arange(step * self.batch, (step + 1) * self.batch)


@dataclass(frozen=True)
class Frames:
    """The decoded images of a step.

    Args:
        pixels: (N, channels, height, width) uint8, or, where they are finished on the way, float32 normalised.
        ids: (N,) the samples that they show.
        damaged: reason by row, of rows that repeat another one.
    """

    pixels: Tensor
    ids: NDArray[np.int64]
    damaged: dict[int, str] = field(default_factory=dict)


@lru_cache(maxsize=2)
def _first_numbers(seed: int, purpose: str, samples: int) -> NDArray[np.float64]:
    return rng.generator(seed, purpose).random(samples)


@lru_cache(maxsize=2)
def _shuffle(seed: int, epoch: int, samples: int) -> NDArray[np.int64]:
    return rng.generator(seed, "shuffle", epoch).permutation(samples)


class Batches:
    """The training batches of one run.

    Args:
        preprocessing: the size, colour and normalisation that evaluation uses too; without `augmentations.crop`,
            training resizes and crops as evaluation does.
        bn_batch: samples within which images are mixed.
        rows: the part of each global batch that is made; the draws are those of the whole batch.
        workers: threads that decode and crop ahead of the training step; 0 does it in between. (Pillow's decoders
            and resizers leave Python's lock free.) The batches are the same.
        pixels: all of the source's images as `prepare` makes them, where they are in memory.
        size_at: height and width of the images of a step; by default the preprocessing's.
        replace_damaged: what to do about an image that cannot be decoded: its row repeats the next readable row of
            its group (after the last, the first) with weight 0, on every rank that makes the row; otherwise it is an
            error.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        order: Order,
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
        self.order = order
        self.augmentations = augmentations
        self.preprocessing = preprocessing
        self.seed = seed
        self.bn_batch = bn_batch
        self.device = device
        rows = rows or slice(0, order.batch)
        # Images are mixed within whole groups, though only a piece of one is wanted.
        start, stop = rows.start // bn_batch * bn_batch, -(-rows.stop // bn_batch) * bn_batch
        self.rows = slice(start, stop) if augmentations.mix else rows
        self._wanted = slice(rows.start - self.rows.start, rows.stop - self.rows.start)
        self.workers = workers
        self._size_at = size_at or (lambda step: preprocessing.crop)
        self._labels = torch.from_numpy(dataset.labels).to(device)
        usable = pixels is not None and augmentations.crop is None
        self._resident = torch.from_numpy(pixels).to(device) if usable else None
        # Decoded on the CPU for the CPU, an image is also mirrored and normalised where it was decoded, while it is in
        # that core's cache: one pass over memory in place of four over whole batches, to the same bits.
        self._finished_where_decoded = (
            self._resident is None
            and device.type == "cpu"
            and all(isinstance(v, Flip) for v in augmentations.transforms)
        )

    def make(self, step: int) -> Batch:
        """The batch of `step`: "ids" (N,), "images" (N, C, H, W) float32 normalised, "labels" (N,) and, where
        images are mixed, "partner_labels" (N,) and "lam" (N,), the weight of "labels".

        Where a row repeats another one because its own image is damaged, "ids" and "labels" are that one's, and
        there is "weights" (N,) float32: 0 for such rows and 1 for the others.

        Raises:
            DataError: an image cannot be decoded and has no replacement.
        """
        return self._finish(step, self._frames(step, _run_now))

    def between(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of the steps from `start` up to `stop`, decoded ahead by the workers."""
        if not self.workers:
            yield from (self.make(step) for step in range(start, stop))
            return
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="decode")
        waiting: collections.deque[tuple[int, Callable[[], Frames]]] = collections.deque()
        try:
            for step in range(start, stop):
                waiting.append((step, self._frames(step, pool.submit)))
                if len(waiting) > PREFETCHED_BATCHES:
                    yield self._finish(*waiting.popleft())
            while waiting:
                yield self._finish(*waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _frames(self, step: int, submit: Callable[..., Future[None]]) -> Callable[[], Frames]:
        """Starts decoding the images of `step`; the result waits for them."""
        every_id = self.order.ids(step)
        ids = every_id[self.rows]
        if (resident := self._resident) is not None:
            return lambda: Frames(resident[to_device(ids, self.device)], ids)
        size = self._size_at(step)
        shape = (len(ids), self.preprocessing.channels, size, size)
        every_u = rng.generator(self.seed, "crop", step).random((self.order.batch, augment.CROP_NUMBERS), np.float32)
        u = every_u[self.rows]
        if self._finished_where_decoded:
            frames = torch.empty(shape, dtype=torch.float32)
            mirrored = self._mirrored(step)

            def keep(row: int, pixels: Pixels) -> None:
                _normalize_into(frames[row].numpy(), pixels[..., ::-1] if mirrored[row] else pixels, self.preprocessing)
        else:
            # Pinned, they are copied to the device while the host goes on.
            frames = torch.empty(shape, dtype=torch.uint8, pin_memory=abilities(self.device).pinned)

            def keep(row: int, pixels: Pixels) -> None:
                frames[row].numpy()[:] = pixels

        damaged: dict[int, str] = {}

        def decode(rows: range) -> None:
            for row in rows:
                try:
                    keep(row, self._decode(int(ids[row]), size, u[row]))
                except DataError as error:
                    damaged[row] = str(error)

        tasks = [
            submit(decode, range(first, min(first + IMAGES_A_TASK, len(ids))))
            for first in range(0, len(ids), IMAGES_A_TASK)
        ]

        def wait() -> Frames:
            for task in tasks:
                task.result()
            used = ids.copy()
            for row, reason in damaged.items() if self.replace_damaged else ():
                used[row], pixels = self._next_readable(self.rows.start + row, every_id, every_u, size, reason)
                keep(row, pixels)
            return Frames(frames, used, dict(sorted(damaged.items())))

        return wait

    def _next_readable(
        self, row: int, ids: NDArray[np.int64], u: augment.Uniforms, size: int, reason: str
    ) -> tuple[int, Pixels]:
        """Sample and pixels of the next row in the group of `row`, of the global batch, that can be decoded.

        It is decoded anew, with its own crop, as it may be a row that another rank makes.
        """
        first = row // self.bn_batch * self.bn_batch
        for further in range(1, self.bn_batch):
            other = first + (row - first + further) % self.bn_batch
            with contextlib.suppress(DataError):
                return int(ids[other]), self._decode(int(ids[other]), size, u[other])
        raise DataError(f"None of the {self.bn_batch} images of a batch can be decoded: {reason}")

    def _decode(self, index: int, size: int, u: augment.Uniforms) -> Pixels:
        """(channels, size, size) of a sample, cropped as `u` (numbers,) says."""
        crop = self.augmentations.crop
        p = self.preprocessing
        if size != p.crop:
            p = replace(p, crop=size, resize=max(size, p.resize))
        suited = p.color == "RGB" and p.antialias and p.interpolation != "nearest"
        direct = crop if suited and isinstance(crop, RandomResizedCrop) else None
        with one_image():
            data = self.dataset.encoded(index) if direct else None
            pixels = jpeg.decode(data) if data is not None else None
            if direct and pixels is not None:
                return augment.random_crop_of_pixels(pixels, direct, u, p).numpy()
            name = self.dataset.name(index)
            if data is not None:
                image = open_image(data, p.color, background=p.background, name=name)
            else:
                image = self.dataset.image(index, p.color, p.background)
            if crop is None:
                return prepare(image, p, name)
            return to_pixels(augment.random_crop(image, crop, u, p), p.color)

    def _finish(self, step: int, wait: Callable[[], Frames]) -> Batch:
        frames = wait()
        self._report(step, frames.damaged)
        images = to_device(frames.pixels, self.device)
        if not self._finished_where_decoded:
            for number, transform in enumerate(self.augmentations.transforms):
                u = self._numbers_for(number, transform, step)
                images = augment.apply(transform, images, u, self.preprocessing.color)
            images = normalize(images, self.preprocessing)
        numbers = to_device(frames.ids, self.device)
        batch = {"ids": numbers, "images": images, "labels": self._labels[numbers]}
        if frames.damaged:
            weights = torch.ones(len(frames.ids))
            weights[list(frames.damaged)] = 0
            batch["weights"] = to_device(weights, self.device)
        if self.augmentations.mix:
            batch = {name: value[self._wanted] for name, value in self._mixed(step, batch).items()}
        return batch

    def _report(self, step: int, damaged: dict[int, str]) -> None:
        """Reports the damaged rows that are ours alone to make; raises `DataError` where they are not replaced."""
        samples = self.order.ids(step)[self.rows] if damaged else ()
        for row, reason in damaged.items():
            if self._wanted.start <= row < self._wanted.stop:
                self.on_damaged(step, int(samples[row]), reason)
        if damaged and not self.replace_damaged:
            raise DataError(next(iter(damaged.values())))

    def _mixed(self, step: int, batch: Batch) -> Batch:
        count = self.order.batch
        g = rng.generator(self.seed, "mix", step)
        transform = self.augmentations.mix[int(g.integers(len(self.augmentations.mix)))]
        lam = to_device(g.beta(transform.alpha, transform.alpha, count).astype(np.float32)[self.rows], self.device)
        within = np.concatenate([first + g.permutation(self.bn_batch) for first in range(0, count, self.bn_batch)])
        partners = to_device(within[self.rows] - self.rows.start, self.device)
        u = self._uniforms(step, "mix place", augment.numbers_needed(transform))
        images, lam = augment.mix(transform, batch["images"], partners, lam, u)
        return batch | {"images": images, "partner_labels": batch["labels"][partners], "lam": lam}

    def _mirrored(self, step: int) -> NDArray[np.bool_]:
        """(rows,) which images the views, all of them flips, leave mirrored."""
        mirrored = np.zeros(self.rows.stop - self.rows.start, np.bool_)
        for number, transform in enumerate(self.augmentations.transforms):
            assert isinstance(transform, Flip)
            mirrored ^= self._numbers_for(number, transform, step)[:, 0].numpy() < transform.p
        return mirrored

    def _numbers_for(self, number: int, transform: Transform, step: int) -> Tensor:
        """The uniform numbers for the view in place `number`."""
        purpose = f"view {number} {type(transform).__name__}"
        if isinstance(transform, Flip) and transform.alternating:
            return self._alternating(step, purpose)
        return self._uniforms(step, purpose, augment.numbers_needed(transform))

    def _alternating(self, step: int, purpose: str) -> Tensor:
        """(rows, 1) numbers, each in the other half of [0, 1) than the same image's in the epoch before."""
        first = _first_numbers(self.seed, purpose, self.order.samples)[self.order.ids(step)[self.rows]]
        u = (first + 0.5 * (self.order.epochs(step)[self.rows] % 2)) % 1.0
        return to_device(u.astype(np.float32)[:, None], self.device)

    def _uniforms(self, step: int, purpose: str, count: int) -> Tensor:
        u = rng.generator(self.seed, purpose, step).random((self.order.batch, count), np.float32)
        return to_device(u[self.rows], self.device)


def normalize(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """(N, C, H, W) uint8, or float from 0 to 1, to float32 with mean and std taken out."""
    mean, std = _statistics(preprocessing, images.device)
    return (augment.as_float(images) - mean).div_(std)  # in place: a new block of memory costs more than the pass


def _normalize_into(place: NDArray[np.float32], pixels: Pixels, preprocessing: Preprocessing) -> None:
    """`normalize` of one image, without torch's threads: the same operations in the same order."""
    mean, std = _statistics(preprocessing, torch.device("cpu"))
    np.divide(pixels, np.float32(255), out=place)
    np.subtract(place, mean.numpy(), out=place)
    np.divide(place, std.numpy(), out=place)


@lru_cache(maxsize=8)
def _statistics(preprocessing: Preprocessing, device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):
        mean = to_device(preprocessing.mean_pixels(), device)
    return mean, constant(preprocessing.std, device)[:, None, None]


def _run_now(task: Callable[..., None], *arguments: object) -> Future[None]:
    """Runs `task` here and now, with the look of a pool's `submit`."""
    done: Future[None] = Future()
    task(*arguments)
    done.set_result(None)
    return done
