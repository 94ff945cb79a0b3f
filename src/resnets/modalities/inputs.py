"""The kinds of input: the unions of their settings and augmentations, and the reader of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from resnets.modalities.audio.augmentations import SoundAugmentations
from resnets.modalities.audio.log_mel import LogMel
from resnets.modalities.image.canvas import Canvas
from resnets.modalities.image.canvas_augmentations import CanvasAugmentations
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms import Augmentations

if TYPE_CHECKING:
    from resnets.modalities.base import Dataset
    from resnets.modalities.reader import Reader

# JSON names each by its class; a recipe and a model file without a kind have the first.
AnyInput = Preprocessing | Canvas | LogMel
AnyAugmentations = Augmentations | CanvasAugmentations | SoundAugmentations


def open_reader(settings: AnyInput, augmentations: AnyAugmentations | None = None) -> Reader:
    """The reader of an input, which imports torch.

    Args:
        augmentations: those of training, which fit the input (`InputAugmentations.check`); None for evaluation alone.
    """
    if isinstance(settings, LogMel):
        from resnets.modalities.audio.reader import SoundReader

        return SoundReader(settings, cast("SoundAugmentations | None", augmentations))
    if isinstance(settings, Canvas):
        from resnets.modalities.image.canvas_reader import CanvasReader

        return CanvasReader(settings, cast("CanvasAugmentations | None", augmentations))
    from resnets.modalities.image.reader import ImageReader

    return ImageReader(settings, cast("Augmentations | None", augmentations))


def dataset_of(settings: AnyInput, inputs: Sequence[Any]) -> Dataset:
    """What a user wants predictions of, as a dataset without targets.

    Args:
        inputs: paths, bytes of files, or what the modality has in memory, such as Pillow's images; or each as `Given`.
    """
    if isinstance(settings, LogMel):
        from resnets.modalities.audio.datasets.given import GivenSounds

        return GivenSounds(tuple(inputs))
    from resnets.modalities.image.datasets.given import GivenImages

    return GivenImages(tuple(inputs))
