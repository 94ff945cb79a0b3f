"""The log-mel spectrogram of a cut, in NumPy and float64: each value depends on its own recording alone.

Nothing here calls BLAS, whose threads may change the order of a sum.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from resnets.modalities.audio.log_mel import LogMel
from resnets.modalities.audio.read import Samples

_LEAST_STD = 1e-3  # a cut of silence, all of whose values are alike, stays at 0


def log_mel(samples: Samples, settings: LogMel) -> NDArray[np.float64]:
    """(mels, frames) natural logarithms of the power in each mel filter, not normalised.

    Args:
        samples: (settings.samples,) from -1 to 1 at the rate of the settings.
    """
    n_fft, hop = settings.fft_samples, settings.hop_samples
    padded = np.pad(samples, n_fft // 2, mode="reflect")
    frames = sliding_window_view(padded, n_fft)[::hop] * _window(settings)
    spectrum = np.fft.rfft(frames, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    # einsum without `optimize` sums in one order, on one thread.
    mel: NDArray[np.float64] = np.einsum("mk,fk->mf", filters(settings), power)
    return np.log(mel + settings.floor)


def normalized(values: NDArray[np.float64], settings: LogMel) -> NDArray[np.float32]:
    """`values` (mels, frames) with mean and standard deviation as the settings say."""
    if settings.normalize == "given":
        mean, std = settings.mean, settings.std
    else:
        mean, std = float(values.mean()), max(float(values.std()), _LEAST_STD)
    return ((values - mean) / std).astype(np.float32)


@lru_cache(maxsize=8)
def filters(settings: LogMel) -> NDArray[np.float64]:
    """(mels, n_fft // 2 + 1) the triangles of the mel filters, each with a peak of 1."""
    frequencies = np.arange(settings.fft_samples // 2 + 1) * (settings.rate / settings.fft_samples)
    edges = np.array(settings.edges())[:, None]
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    triangles: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    return triangles


@lru_cache(maxsize=8)
def _window(settings: LogMel) -> NDArray[np.float64]:
    """(n_fft,) the periodic Hann window, centred in zeros."""
    length, n_fft = settings.window_samples, settings.fft_samples
    window = np.zeros(n_fft)
    start = (n_fft - length) // 2
    window[start : start + length] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    return window
