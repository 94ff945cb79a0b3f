"""A reader turns the samples of a dataset into a network's input, as the settings of the input say.

The settings (`Input`) are frozen and without torch, and travel in recipes and model files; `modalities.inputs` opens
them as the reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from resnets.modalities.base import Arrays, DatasetSplits
from resnets.modalities.batch import Batch, Draws, Loaded, Slot

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from resnets.modalities.rng import BatchRNG


class Reader(Protocol):
    """Turns the samples of a dataset into a network's input, for training and for evaluation.

    Whatever it does is a function of the sample and of the numbers that it is given, so that batches are the same
    wherever and in whatever order they are made. Several threads call `sample`, `load` and `examine` at a time.
    """

    @property
    def numbers(self) -> int:
        """Uniform numbers that reading a training sample takes."""
        ...

    @property
    def resident(self) -> bool:
        """Whether samples may be held in memory as `examine` prepares them: they draw nothing and have one size."""
        ...

    @property
    def ragged(self) -> tuple[str, ...]:
        """The targets that are read with a sample and have any number of rows, such as its boxes."""
        ...

    @property
    def by_header(self) -> bool:
        """Whether a file whose header says that it is whole (`read.headers`) need not be read to the end by a scan."""
        ...

    @property
    def identity(self) -> tuple[Any, ...]:
        """What prepared samples depend on besides the data, ready for JSON, for caches."""
        ...

    @property
    def mixes(self) -> bool:
        """Whether `finish` mixes the samples of a ghost batch, so that it has to get whole ones."""
        ...

    def finishing_early(self) -> Reader:
        """A reader of the same batches that may finish samples as they are read, for batches that stay on the CPU."""
        ...

    def slots(self, size: int | None) -> dict[str, Slot]:
        """The arrays of a sample that have one shape: "inputs", and targets that are read with it.

        Args:
            size: in place of the settings' own, where it changes during training.
        """
        ...

    def draw(self, rng: BatchRNG) -> Draws:
        """The numbers with which the samples of a step are read."""
        ...

    def sample(self, dataset: Any, index: int, u: NDArray[np.float32], size: int | None) -> Arrays:
        """A training sample, with the arrays that `slots` and `ragged` name.

        Args:
            u: (numbers,) uniform numbers in [0, 1).

        Raises:
            DataError: it is damaged.
        """
        ...

    def write(self, sample: Arrays, into: Arrays, numbers: Any) -> None:
        """Writes what `sample` returned into its row of the batch's arrays, those that `slots` names.

        Args:
            numbers: its row of `Draws.rows`; None where there are none.
        """
        ...

    def finish(self, batch: Batch, rng: BatchRNG) -> Batch:
        """The batch, on its device, as the network gets it: augmented, normalised, mixed.

        Args:
            batch: the arrays as they were written, or as `examine` prepared them, and all targets.
        """
        ...

    def examine(self, dataset: Any, index: int, prepared: bool) -> tuple[NDArray[Any] | None, int]:
        """Reads a sample to the end; returns its input where it is to be `prepared`, and the bits of its remarks.

        Raises:
            DataError: it is damaged.
        """
        ...

    def load(self, dataset: Any, index: int, tta: str) -> Loaded:
        """A sample as evaluation gives it to the network.

        Args:
            tta: the test-time augmentation, one of `Input.tta`.

        Raises:
            DataError: it is damaged.
        """
        ...

    def load_prepared(self, prepared: NDArray[Any], tta: str) -> Loaded | None:
        """As `load`, of a sample that `examine` prepared; None where that is not enough."""
        ...

    def normalize(self, inputs: Tensor) -> Tensor:
        """A batch of the inputs of `load`, on the device, as the network gets it."""
        ...

    def thumbnail(self, dataset: Any, index: int) -> Image.Image | None:
        """A sample as people look at it, at any size, such as the upright image; None where there is no such thing.

        Raises:
            DataError: it is damaged.
        """
        ...

    def notes(self, remarks: Mapping[str, int], samples: int, split: str) -> tuple[str, ...]:
        """A line for each remark that `examine` made.

        Args:
            remarks: samples by remark, one of `Input.remarks`.
            samples: their total number.
        """
        ...


class Input(Protocol):
    """The settings of a network's input, frozen and without torch: a recipe and a model file have them.

    The classes that implement it are listed in `modalities.inputs`.
    """

    modality: ClassVar[str]  # of the datasets that it reads
    noun: ClassVar[str]  # what a message calls a sample, such as "image"
    fixed: ClassVar[bool]  # whether every input has one size, so that outputs are one vector or number
    sized: ClassVar[bool]  # whether every sample is brought to the height and width of the settings
    remarks: ClassVar[tuple[str, ...]]  # what `Reader.examine` may note of a sample, a bit each

    @property
    def channels(self) -> int:
        """Of the network's input."""
        ...

    @property
    def tta(self) -> tuple[str, ...]:
        """The test-time augmentations that there are, the first being none."""
        ...

    @property
    def summary(self) -> str:
        """The settings in a few words, for a report."""
        ...

    def shape(self, size: int | None = None) -> tuple[int, ...]:
        """The spatial shape of a training input, such as (height, width); `size` as in `Reader.slots`."""
        ...

    def with_size(self, size: int | tuple[int, int]) -> Input:
        """The settings for inputs of another size.

        Args:
            size: in pixels: one number, or height and width.

        Raises:
            UsageError: the input has no such size.
        """
        ...

    def part_of(self, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
        """The part of an image that the input shows: left, top, right and bottom in pixels of the image; None where
        samples are no images, or have no inputs of one size.

        Args:
            size: width and height of the upright image.
        """
        ...

    def for_data(self, splits: DatasetSplits) -> Input:
        """The settings with what the data decides, such as grey in place of colour."""
        ...

    def with_statistics(self, how: str, mean: NDArray[np.float32], std: tuple[float, ...]) -> Input:
        """The settings with the statistics of the training set, of an input whose prepared samples are uint8.

        Args:
            how: the recipe's `normalize`.
            mean: (channels, ...) of the prepared samples, from 0 to 1.
            std: (channels,) over all positions, from 0 to 1.

        Raises:
            UsageError: the input knows no such statistics.
        """
        ...


class InputAugmentations(Protocol):
    """The random changes of training samples of one kind of input, frozen and without torch, in the recipe."""

    @property
    def holds(self) -> bool:
        """Whether samples are read as evaluation reads them, so that they may be held in memory."""
        ...

    @property
    def decodes_jpeg(self) -> bool:
        """Whether training decodes JPEG files by torchvision's operator where there is one."""
        ...

    @property
    def largest_size(self) -> int | None:
        """The largest size of training inputs, where it changes during training; else None."""
        ...

    def size_at(self, share: float) -> int | None:
        """The size of training inputs after a share of the run, where it changes during training; else None."""
        ...

    def with_size(self, was: int, now: int) -> InputAugmentations:
        """The augmentations for inputs whose shorter side has `now` pixels in place of `was`: what is given in pixels
        keeps its share of it."""
        ...

    def with_range(self, least: int, most: int) -> InputAugmentations:
        """The augmentations that draw the length of an image's shorter side from `least` to `most` pixels, where images
        are evaluated at `most`.

        Raises:
            UsageError: inputs have one size.
        """
        ...

    def check(self, settings: Any, *, least: int, normalize: str, tta: str) -> None:
        """Checks that they fit an input and a network.

        Args:
            settings: the `Input`.
            least: the smallest height and width that the network takes.
            normalize: where the recipe takes mean and std from.
            tta: the recipe's test-time augmentation.

        Raises:
            UsageError: they do not, or are for another kind of input.
        """
        ...
