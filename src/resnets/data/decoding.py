"""The images of a training batch: decoded and cropped by threads, or taken from memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnets.core.devices import abilities, to_device
from resnets.core.errors import DataError
from resnets.modalities.base import Dataset
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.read import jpeg
from resnets.modalities.image.read.decode_memory import one_image
from resnets.modalities.image.read.pillow import Pixels, open_image, to_pixels
from resnets.modalities.image.transforms import Crop
from resnets.modalities.image.transforms.normalize import normalize_into
from resnets.modalities.image.transforms.resize import prepare

IMAGES_A_TASK = 8

Submit = Callable[..., "Future[None]"]  # as `ThreadPoolExecutor.submit`


@dataclass(frozen=True)
class DecodedImages:
    """The images of some rows of a batch.

    Args:
        pixels: (N, channels, height, width) uint8; float32 and normalised where they were finished as they were
            decoded.
        ids: (N,) the samples that they show.
        damaged: reasons by row, of rows whose own image cannot be decoded.
    """

    pixels: Tensor
    ids: NDArray[np.int64]
    damaged: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DecodingTask:
    """What to decode: some rows of one global batch.

    Args:
        ids: (batch,) the samples of the global batch.
        u: (batch, numbers) uniform numbers for the crop.
        rows: the rows to decode.
        size: height and width of the images, in pixels.
        flipped: (rows,) which images to flip, where they are to be normalised as they are decoded; else None.
    """

    ids: NDArray[np.int64]
    u: NDArray[np.float32]
    rows: slice
    size: int
    flipped: NDArray[np.bool_] | None


class ResidentImages:
    """Images that are in the device's memory, prepared as for evaluation.

    Args:
        pixels: (samples, channels, height, width).
    """

    def __init__(self, pixels: Pixels, device: torch.device) -> None:
        self.pixels = torch.from_numpy(pixels).to(device)

    def take(self, ids: NDArray[np.int64]) -> DecodedImages:
        return DecodedImages(self.pixels[to_device(ids, self.pixels.device)], ids)


class ImageDecoder:
    """Decodes and crops the images of a dataset.

    Args:
        crop: without one, images are resized and cropped as in evaluation.
        bn_batch: rows of a ghost batch, within which damaged rows are replaced.
        device: what the images are decoded for.
        replace_damaged: a row whose image cannot be decoded repeats the next readable row of its ghost batch (after
            the last, the first), on every rank that makes the row.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        crop: Crop | None,
        preprocessing: Preprocessing,
        bn_batch: int,
        device: torch.device,
        replace_damaged: bool,
    ) -> None:
        self.dataset = dataset
        self.crop = crop
        self.preprocessing = preprocessing
        self.bn_batch = bn_batch
        self.replace_damaged = replace_damaged
        self._pinned = abilities(device).pinned

    def start(self, task: DecodingTask, submit: Submit) -> Callable[[], DecodedImages]:
        """Starts decoding; the function that is returned waits for the images.

        Raises:
            DataError: from that function, where no image of a ghost batch can be decoded and damaged ones are replaced.
        """
        ids, u, flipped = task.ids[task.rows], task.u[task.rows], task.flipped
        shape = (len(ids), self.preprocessing.channels, task.size, task.size)
        if flipped is None:
            # Pinned, they are copied to the device while the host goes on.
            images = torch.empty(shape, dtype=torch.uint8, pin_memory=self._pinned)

            def keep(row: int, pixels: Pixels) -> None:
                images[row].numpy()[:] = pixels
        else:
            images = torch.empty(shape, dtype=torch.float32)

            def keep(row: int, pixels: Pixels) -> None:
                turned = pixels[..., ::-1] if flipped[row] else pixels
                normalize_into(images[row].numpy(), turned, self.preprocessing)

        damaged: dict[int, str] = {}

        def decode(rows: range) -> None:
            for row in rows:
                try:
                    keep(row, self._decode(int(ids[row]), task.size, u[row]))
                except DataError as error:
                    damaged[row] = str(error)

        pending = [
            submit(decode, range(first, min(first + IMAGES_A_TASK, len(ids))))
            for first in range(0, len(ids), IMAGES_A_TASK)
        ]

        def wait() -> DecodedImages:
            for each in pending:
                each.result()
            used = ids.copy()
            for row, reason in damaged.items() if self.replace_damaged else ():
                used[row], pixels = self._next_readable(task.rows.start + row, task, reason)
                keep(row, pixels)
            return DecodedImages(images, used, dict(sorted(damaged.items())))

        return wait

    def _next_readable(self, row: int, task: DecodingTask, reason: str) -> tuple[int, Pixels]:
        """Sample and pixels of the next row in the ghost batch of `row`, of the global batch, that can be decoded.

        It is decoded again, with its own crop, as it may be a row that another rank makes.
        """
        first = row // self.bn_batch * self.bn_batch
        for further in range(1, self.bn_batch):
            other = first + (row - first + further) % self.bn_batch
            with contextlib.suppress(DataError):
                return int(task.ids[other]), self._decode(int(task.ids[other]), task.size, task.u[other])
        raise DataError(f"None of the {self.bn_batch} images of a batch can be decoded: {reason}")

    def _decode(self, index: int, size: int, u: NDArray[np.float32]) -> Pixels:
        """(channels, size, size) of a sample, cropped as `u` (numbers,) says."""
        p, crop = self.preprocessing, self.crop
        if size != p.crop:
            p = replace(p, crop=size, resize=max(size, p.resize))
        with one_image():
            data = self.dataset.encoded(index) if crop is not None and crop.takes_pixels(p) else None
            pixels = jpeg.decode(data) if data is not None else None
            if crop is not None and pixels is not None:
                return crop.crop_pixels(pixels, u, p).numpy()
            name = self.dataset.name(index)
            if data is not None:
                image = open_image(data, p.color, background=p.background, name=name)
            else:
                image = self.dataset.image(index, p.color, p.background)
            if crop is None:
                return prepare(image, p, name)
            return to_pixels(crop(image, u, p), p.color)
