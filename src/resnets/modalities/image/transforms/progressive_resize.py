"""Crops that grow while training."""

from __future__ import annotations

from dataclasses import dataclass, replace

from resnets.core.typed import checked
from resnets.modalities.image.preprocessing import MAX_SIZE
from resnets.modalities.image.transforms.base import require


@dataclass(frozen=True, kw_only=True)
@checked
class ProgressiveResize:
    """Crops that grow while training, so that its first steps cost less (as in ffcv-imagenet).

    Args:
        start, stop: first and last height and width, in pixels; of a rectangle, its shorter side.
        since, until: the fractions of the run between which the size grows linearly.
        multiple: sizes in between are multiples of this many pixels.
    """

    start: int = 160
    stop: int = 192
    since: float = 0.74
    until: float = 0.86
    multiple: int = 32

    def __post_init__(self) -> None:
        require(
            1 <= self.start <= self.stop <= MAX_SIZE,
            f"progressive_resize needs 1 <= start <= stop, not {self.start}, {self.stop}.",
        )
        require(
            0 <= self.since <= self.until <= 1,
            "progressive_resize needs 0 <= since <= until <= 1, fractions of the run.",
        )
        require(self.multiple >= 1, f"multiple must be 1 or more, not {self.multiple}.")

    def scaled(self, was: int, now: int) -> ProgressiveResize:
        """The same growth for tests at `now` pixels in place of `was`: the sizes keep their ratios to it, rounded to
        `multiple`, which shrinks or grows with them in steps of 8. None that was no larger than `was` exceeds `now`."""
        ratio = now / was
        multiple = 8 * round(self.multiple * ratio / 8) or max(1, round(self.multiple * ratio))

        def side(size: int) -> int:
            if size == was:
                return now
            rounded = max(1, multiple * round(size * ratio / multiple))
            return min(rounded, now if size < was else MAX_SIZE)

        return replace(self, start=side(self.start), stop=side(self.stop), multiple=multiple)

    def at(self, progress: float) -> int:
        """Height and width of the crops, in pixels, when a fraction `progress` of the run is done."""
        if progress <= self.since or progress >= self.until:
            return self.start if progress <= self.since else self.stop
        grown = (progress - self.since) / (self.until - self.since)
        size = self.multiple * round((self.start + grown * (self.stop - self.start)) / self.multiple)
        return min(max(size, self.start), self.stop)
