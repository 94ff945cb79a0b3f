"""Random changes of recordings in training, as settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.modalities.audio.log_mel import LogMel


@dataclass(frozen=True, kw_only=True)
@checked
class SoundAugmentations:
    """Random changes of training recordings: where they are cut, speed and gain, then bands that are masked.

    Args:
        shift: how far the cut moves from the centre, from 0 to 1, of the way to the recording's ends; recordings that
            are shorter than the cut move among the silence that is put around them.
        speed: the largest relative change of speed, and with it of pitch (Ko et al. 2015).
        gain: the largest change of loudness, in decibels.
        frequency_masks, frequency_width: bands of filters that are set to the mean, and the most filters of one, as in
            SpecAugment (Park et al. 2019, 1904.08779).
        time_masks, time_width: the same of frames.

    Raises:
        UsageError: a value is out of range.
    """

    shift: float = 0.0
    speed: float = 0.0
    gain: float = 0.0
    frequency_masks: int = 0
    frequency_width: int = 0
    time_masks: int = 0
    time_width: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.shift <= 1 and 0 <= self.speed <= 0.5 and 0 <= self.gain <= 60):
            raise UsageError(
                f"shift must be from 0 to 1, speed from 0 to 0.5 and gain from 0 to 60 dB, not {self.shift:g}, "
                f"{self.speed:g} and {self.gain:g}."
            )
        for name in ("frequency", "time"):
            masks, width = getattr(self, f"{name}_masks"), getattr(self, f"{name}_width")
            if not (0 <= masks <= 100 and 0 <= width <= 10_000 and bool(masks) == bool(width)):
                raise UsageError(
                    f"{name}_masks must be from 0 to 100 and {name}_width from 0 to 10,000, both 0 or neither, not "
                    f"{masks} and {width}."
                )

    @property
    def numbers(self) -> int:
        """Uniform numbers for a recording; 0 where nothing is changed at random."""
        masks = self.frequency_masks + self.time_masks
        return 3 + 2 * masks if masks or self.shift or self.speed or self.gain else 0

    @property
    def holds(self) -> bool:
        return not self.numbers

    @property
    def decodes_jpeg(self) -> bool:
        return False

    @property
    def largest_size(self) -> int | None:
        return None

    def size_at(self, share: float) -> int | None:
        return None

    def with_range(self, least: int, most: int) -> SoundAugmentations:
        raise UsageError(f"size {least}-{most} is a range of pixels, and these are recordings.")

    def with_size(self, was: int, now: int) -> SoundAugmentations:
        return self

    def check(self, settings: Any, *, least: int, normalize: str, tta: str) -> None:
        """As `InputAugmentations.check`."""
        if not isinstance(settings, LogMel):
            raise UsageError(f"augmentations of recordings do not fit an input of {type(settings).__name__}.")
        if normalize != "given":
            settings.refuse_statistics(normalize)
        if min(settings.shape()) < least:
            rows, columns = settings.shape()
            raise UsageError(
                f"A spectrogram of {rows} filters by {columns} frames is too small for this model; the minimum is "
                f"{least} of each."
            )
