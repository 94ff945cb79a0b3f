"""From recordings to log-mel spectrograms, for training and for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import scipy
from numpy.typing import NDArray

from resnets.core.config import encode
from resnets.core.errors import DataError, UsageError
from resnets.modalities.audio.augmentations import SoundAugmentations
from resnets.modalities.audio.cut import cut
from resnets.modalities.audio.log_mel import LogMel
from resnets.modalities.audio.read import File, Recording, Samples, examine, open_recording
from resnets.modalities.audio.spectrogram import log_mel, normalized
from resnets.modalities.base import Arrays, Dataset, whole
from resnets.modalities.batch import Batch, Draws, Loaded, Slot

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from resnets.modalities.rng import BatchRNG


class SoundDataset(Dataset, Protocol):
    """A dataset of recordings."""

    def recording(self, index: int) -> File:
        """What the sample is read from."""
        ...


class SoundReader:
    """Implements `resnets.modalities.reader.Reader` for recordings.

    Everything is done in the thread that reads a recording, so that no value depends on the rest of its batch.
    """

    def __init__(self, settings: LogMel, augmentations: SoundAugmentations | None = None) -> None:
        self.settings = settings
        self.augmentations = augmentations or SoundAugmentations()

    @property
    def numbers(self) -> int:
        return self.augmentations.numbers

    @property
    def resident(self) -> bool:
        return not self.numbers

    @property
    def ragged(self) -> tuple[str, ...]:
        return ()

    @property
    def by_header(self) -> bool:
        return False

    @property
    def identity(self) -> tuple[Any, ...]:
        return encode(self.settings), scipy.__version__, np.__version__

    @property
    def mixes(self) -> bool:
        return False

    def finishing_early(self) -> SoundReader:
        return self  # which always does

    def slots(self, size: int | None) -> dict[str, Slot]:
        return {"inputs": Slot((1, *self.settings.shape()), np.float32)}

    def draw(self, rng: BatchRNG) -> Draws:
        # The text is part of the data format: another one gives other batches.
        return Draws(rng.generator("recording").random((rng.batch, self.numbers), np.float32))

    def sample(self, dataset: Any, index: int, u: NDArray[np.float32], size: int | None) -> Arrays:
        if not self.numbers:
            return {"inputs": self._centered(dataset, index)}
        a, s = self.augmentations, self.settings
        shift, speed, gain = (float(each) for each in u[:3])
        with _open(dataset, index) as recording:
            samples = cut(
                recording, s.rate, s.samples, 0.5 + a.shift * (shift - 0.5), 1 + a.speed * (2 * speed - 1)
            )  # fmt: skip
            values = self._spectrogram(samples * 10 ** (a.gain * (2 * gain - 1) / 20), recording)
        masks = u[3:].reshape(-1, 2)
        for axis, (rows, width) in enumerate(
            ((masks[: a.frequency_masks], a.frequency_width), (masks[a.frequency_masks :], a.time_width))
        ):
            for row in rows:
                _mask(values, axis, width, row)
        return {"inputs": values[None]}

    def write(self, sample: Arrays, into: Arrays, numbers: Any) -> None:
        for name, values in sample.items():
            into[name][...] = values

    def finish(self, batch: Batch, rng: BatchRNG) -> Batch:
        return batch

    def examine(self, dataset: Any, index: int, prepared: bool) -> tuple[NDArray[Any] | None, int]:
        s = self.settings
        with _open(dataset, index) as recording:
            silent = examine(recording)
            remarks = (
                recording.rate != s.rate,
                recording.channels > 1,
                recording.frames > s.seconds * recording.rate,
                silent,
            )
            values = self._spectrogram(cut(recording, s.rate, s.samples), recording)
        return values[None] if prepared else None, sum(bit << place for place, bit in enumerate(remarks))

    def load(self, dataset: Any, index: int, tta: str) -> Loaded:
        if tta not in self.settings.tta:
            raise UsageError(
                f"There is no test-time augmentation {tta!r} of recordings: choose {', '.join(self.settings.tta)}."
            )
        return Loaded((self._centered(dataset, index),))

    def load_prepared(self, prepared: NDArray[Any], tta: str) -> Loaded | None:
        return Loaded((prepared,)) if tta in self.settings.tta else None

    def normalize(self, inputs: Tensor) -> Tensor:
        return inputs

    def notes(self, remarks: Mapping[str, int], samples: int, split: str) -> tuple[str, ...]:
        s = self.settings
        texts = {
            "resampled": f"have another rate than {s.rate:,} Hz and are resampled.",
            "averaged": "have several channels, which are averaged.",
            "cut": f"are longer than {s.seconds:g} s and are cut, for evaluation at the centre: "
            "preprocessing.seconds=N takes more of them.",
            "silent": "are silent: all of their samples are 0.",
        }
        return tuple(
            f"{remarks[remark]:,} of {samples:,} {split} recordings {text}"
            for remark, text in texts.items()
            if remarks.get(remark)
        )

    def thumbnail(self, dataset: Any, index: int) -> Image.Image:
        """The spectrogram of a recording as an image of Pillow's, in grey: time to the right, low tones at the bottom.

        Raises:
            DataError: the recording is damaged.
        """
        from PIL import Image

        values = self._centered(dataset, index)[0, ::-1]
        low, high = float(values.min()), float(values.max())
        return Image.fromarray(np.round((values - low) * (255 / max(high - low, 1e-6))).astype(np.uint8))

    def _centered(self, dataset: Any, index: int) -> NDArray[np.float32]:
        """(1, mels, frames) as evaluation has it."""
        s = self.settings
        with _open(dataset, index) as recording:
            return self._spectrogram(cut(recording, s.rate, s.samples), recording)[None]

    def _spectrogram(self, samples: Samples, recording: Recording) -> NDArray[np.float32]:
        with np.errstate(over="ignore", invalid="ignore"):
            values = normalized(log_mel(samples, self.settings), self.settings)
        if not np.isfinite(values).all():
            raise DataError(f"{recording.name} has samples that are far too large. Scale them to -1 to 1.")
        return values


def _open(dataset: Any, index: int) -> AbstractContextManager[Recording]:
    """Opens a recording of a `SoundDataset`, or of a subset of one; see `open_recording`."""
    dataset, index = whole(dataset, index)
    return open_recording(dataset.recording(index), dataset.name(index))


def _mask(values: NDArray[np.float32], axis: int, width: int, u: NDArray[np.float32]) -> None:
    """Sets a band of 0 to `width` rows or columns of `values` (mels, frames) to 0, the mean.

    Args:
        u: (2,) uniform numbers for its width and its place.
    """
    length = values.shape[axis]
    size = min(int(u[0] * (width + 1)), length)
    start = int(u[1] * (length - size + 1))
    band = slice(start, start + size)
    values[(slice(None), band) if axis else band] = 0
