"""The log-mel spectrogram that a network gets of a recording, as settings. It is read without torch and NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NoReturn

from resnets.core.errors import UsageError
from resnets.core.typed import checked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from resnets.modalities.base import DatasetSplits

MAX_SECONDS = 600.0
MAX_RATE = 192_000  # Hz
MAX_MELS = 1024
MAX_FFT = 2**16


@dataclass(frozen=True, kw_only=True)
@checked
class LogMel:
    """Resamples a recording, cuts or pads it to `seconds` and takes the logarithm of its mel spectrogram.

    The values before they are normalised are those of torchaudio's MelSpectrogram at its defaults (power, periodic Hann
    window, frames centred and reflected at the ends, filters by the HTK formula with peaks of 1), plus `floor`, under
    the natural logarithm.

    Args:
        rate: in Hz, to which recordings of other rates are resampled.
        seconds: the length of the cut. Of longer recordings, evaluation takes the centre; shorter ones are centred
            in silence.
        window, hop: of the frames, in milliseconds.
        n_fft: samples of the Fourier transform; None is the smallest power of two that holds the window.
        mels: filters, which are the rows of the network's input.
        f_min, f_max: in Hz, the lowest edge and the highest; None is half the rate.
        floor: what is added to the power before the logarithm; samples are from -1 to 1.
        normalize: to a mean of 0 and a standard deviation of 1 over each recording's own cut, or by `mean` and `std`.
        mean, std: `(value - mean) / std`.

    Raises:
        UsageError: a value is out of range, or a mel filter covers no frequency of the Fourier transform.
    """

    modality: ClassVar[str] = "audio"
    noun: ClassVar[str] = "recording"
    fixed: ClassVar[bool] = True
    sized: ClassVar[bool] = False
    tta: ClassVar[tuple[str, ...]] = ("center",)
    remarks: ClassVar[tuple[str, ...]] = ("resampled", "averaged", "cut", "silent")

    rate: int = 16000
    seconds: float = 1.0
    window: float = 25.0
    hop: float = 10.0
    n_fft: int | None = None
    mels: int = 40
    f_min: float = 20.0
    f_max: float | None = None
    floor: float = 1e-6
    normalize: Literal["recording", "given"] = "recording"
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if not 100 <= self.rate <= MAX_RATE:
            raise UsageError(f"rate must be from 100 to {MAX_RATE:,} Hz, not {self.rate:,}.")
        if not 0 < self.seconds <= MAX_SECONDS:
            raise UsageError(f"seconds must be above 0 and at most {MAX_SECONDS:g}, not {self.seconds:g}.")
        if not (self.window > 0 and self.window_samples >= 2 and self.hop > 0 and self.hop_samples >= 1):
            raise UsageError(
                f"window must have 2 samples or more and hop 1, not {self.window:g} ms and {self.hop:g} ms at "
                f"{self.rate:,} Hz."
            )
        if not self.window_samples <= self.fft_samples <= MAX_FFT:
            raise UsageError(
                f"n_fft must be from the window's {self.window_samples} samples to {MAX_FFT:,}, not {self.fft_samples}."
            )
        if self.samples <= self.fft_samples // 2:
            raise UsageError(
                f"A cut of {self.seconds:g} s has {self.samples} samples, too few for n_fft {self.fft_samples}: set a "
                "larger preprocessing.seconds or a smaller preprocessing.window."
            )
        if not 1 <= self.mels <= MAX_MELS:
            raise UsageError(f"mels must be from 1 to {MAX_MELS}, not {self.mels}.")
        if not 0 <= self.f_min < self.highest <= self.rate / 2:
            raise UsageError(
                f"f_min and f_max must rise from 0 to half the rate, {self.rate / 2:g} Hz, not {self.f_min:g} and "
                f"{self.highest:g}."
            )
        if not (self.floor > 0 and self.std > 0):
            raise UsageError(f"floor and std must be above 0, not {self.floor:g} and {self.std:g}.")
        self._check_filters()

    @property
    def channels(self) -> int:
        return 1

    @property
    def summary(self) -> str:
        return f"{self.seconds:g} s at {self.rate:,} Hz, {self.mels} mel filters every {self.hop:g} ms"

    def part_of(self, size: tuple[int, int]) -> None:
        return None

    def with_size(self, size: int | tuple[int, int]) -> LogMel:
        """Raises UsageError: recordings have no size in pixels."""
        raise UsageError(
            "Recordings have no size in pixels: preprocessing.mels=N sets the rows of a spectrogram, "
            "preprocessing.seconds=N its columns."
        )

    @property
    def samples(self) -> int:
        """Of the cut."""
        return max(1, round(self.seconds * self.rate))

    @property
    def window_samples(self) -> int:
        return round(self.window * self.rate / 1000)

    @property
    def hop_samples(self) -> int:
        return round(self.hop * self.rate / 1000)

    @property
    def fft_samples(self) -> int:
        return self.n_fft if self.n_fft is not None else 1 << (self.window_samples - 1).bit_length()

    @property
    def highest(self) -> float:
        """The upper edge of the highest filter, in Hz."""
        return self.rate / 2 if self.f_max is None else self.f_max

    def shape(self, size: int | None = None) -> tuple[int, int]:
        """Rows and columns of the network's input: mel filters and frames."""
        # Half a transform, rounded down, is put on each side: an odd one fits once less into an even number of samples.
        return self.mels, 1 + (self.samples - self.fft_samples % 2) // self.hop_samples

    def for_data(self, splits: DatasetSplits) -> LogMel:
        return self

    def with_statistics(self, how: str, mean: NDArray[np.float32], std: tuple[float, ...]) -> LogMel:
        """Raises UsageError, see `refuse_statistics`."""
        self.refuse_statistics(how)

    def refuse_statistics(self, how: str) -> NoReturn:
        """Raises UsageError: mean and std are those of each recording, or given, but not of the training set.

        Args:
            how: the recipe's `normalize`.
        """
        raise UsageError(
            f"normalize={how} is for images. Recordings are normalised by preprocessing.normalize, "
            "preprocessing.mean and preprocessing.std."
        )

    def edges(self) -> list[float]:
        """The `mels + 2` frequencies in Hz between which the filters rise and fall: evenly spaced in mel, by HTK."""
        import math

        low, high = (2595 * math.log10(1 + f / 700) for f in (self.f_min, self.highest))
        points = [low + (high - low) * i / (self.mels + 1) for i in range(self.mels + 2)]
        return [700 * (10 ** (point / 2595) - 1) for point in points]

    def _check_filters(self) -> None:
        """Raises UsageError if a filter lies between two frequencies of the transform: its row would be constant."""
        spacing, edges = self.rate / self.fft_samples, self.edges()
        for number in range(self.mels):
            low, high = edges[number], edges[number + 2]
            if (int(low / spacing) + 1) * spacing >= high:
                raise UsageError(
                    f"Mel filter {number} from {low:.1f} to {high:.1f} Hz holds none of the frequencies of the Fourier "
                    f"transform, which are {spacing:.1f} Hz apart: set fewer preprocessing.mels or a larger "
                    "preprocessing.n_fft."
                )
