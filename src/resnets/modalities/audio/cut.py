"""A cut of a recording: of so many seconds, at the rate that the network takes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from resnets.core.errors import DataError
from resnets.modalities.audio.read import Recording, Samples

_SPEEDS = 100  # changed speeds are multiples of 1 / _SPEEDS, for a ratio of small whole numbers
_LARGEST = (
    2000  # of the whole numbers by which rates are resampled: the length of scipy's filter is 20 times the larger
)
_REACH = 10  # samples of the lower rate on each side that scipy's filter takes; see `scipy.signal.resample_poly`


def cut(recording: Recording, rate: int, length: int, position: float = 0.5, speed: float = 1.0) -> Samples:
    """(length,) samples at `rate`; only what they are made of is read.

    Recordings of other rates are resampled by `scipy.signal.resample_poly`. The ratio of usual rates is exact, that
    of others right to 0.03%, which nobody hears.

    Args:
        position: from 0 to 1, where the cut lies in a longer recording, or a shorter recording among zeros.
        speed: of playing, in steps of 0.01: at 1.1 a recording is shorter and its pitch higher (Ko et al. 2015).

    Raises:
        DataError: the recording is damaged, or its rate is more than 2000 times `rate`, or less than 1/2000.
    """
    if max(rate, recording.rate) > _LARGEST * min(rate, recording.rate):  # `ratio` would be far off
        raise DataError(
            f"{recording.name} has a rate of {recording.rate:,} Hz, which is too far from {rate:,} Hz to be resampled. "
            "Correct it in the file, take it out, or set preprocessing.rate."
        )
    up, down = ratio(rate, recording.rate, speed)
    wanted = -(-length * down // up)
    if recording.frames > wanted:
        start = min(int(position * (recording.frames - wanted + 1)), recording.frames - wanted)
        # What lies beside the cut is read as well, so that resampling does not see its ends.
        margin = 0 if up == down else -(-_REACH * max(up, down) // up) + 1
        before, after = min(start, margin), min(recording.frames - wanted - start, margin)
        samples = resample(recording.read(start - before, before + wanted + after), up, down)
        first = before * up // down
        return samples[first : first + length]
    samples = resample(recording.read(0, recording.frames), up, down)[:length]
    room = length - len(samples)
    left = min(int(position * (room + 1)), room)
    return np.pad(samples, (left, room - left))


def ratio(rate: int, given: int, speed: float = 1.0) -> tuple[int, int]:
    """Whole numbers whose quotient is `rate / (given * speed)`, the larger of them as large as `_LARGEST` or less."""
    exact = Fraction(rate * _SPEEDS, given * round(speed * _SPEEDS))
    if exact > 1:
        down, up = (1 / exact).limit_denominator(_LARGEST).as_integer_ratio()
    else:
        up, down = exact.limit_denominator(_LARGEST).as_integer_ratio()
    return max(up, 1), max(down, 1)


def resample(samples: Samples, up: int, down: int) -> Samples:
    """`samples` at `up / down` times their rate: ceil(N * up / down) of them."""
    if up == down:
        return samples
    from scipy.signal import resample_poly

    resampled: Samples = resample_poly(samples, up, down)
    return resampled
