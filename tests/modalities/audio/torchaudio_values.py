"""Writes torchaudio_values.npz, what torchaudio's MelSpectrogram gives for the settings and the samples below.

    python -m tests.modalities.audio.torchaudio_values

The tests read the file, since torchaudio cannot be imported beside every torch that is supported: 2.11.0, its last
version, refuses torch 2.15, which is built for another CUDA.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.modalities.audio.log_mel import LogMel

FILE = Path(__file__).with_suffix(".npz")
EVERY = 9  # frames, of which the file holds one
SETTINGS = (
    LogMel(rate=8000),
    LogMel(),
    LogMel(rate=8000, n_fft=512, mels=64, f_min=0.0, f_max=3800.0, floor=1e-3),
    LogMel(rate=22050, seconds=0.7, window=23.3, hop=7.1, mels=80, f_min=50.0, f_max=9000.0),
)


def samples_for(settings: LogMel) -> NDArray[np.float64]:
    """(samples,) a triangle wave that rises from 100 Hz to a third of the rate and fades to a thousandth."""
    time = np.arange(settings.samples) / settings.samples
    phase = np.cumsum(100 / settings.rate + time / 3)
    return (np.abs((phase % 1) * 4 - 2) - 1) * 10 ** (-3 * time)


def torchaudios(samples: NDArray[np.float64], settings: LogMel) -> NDArray[np.float64]:
    """(mels, frames) the logarithm of torchaudio's MelSpectrogram in float64, at its defaults."""
    import torch
    import torchaudio

    torch.set_default_dtype(torch.float64)  # of its filters
    try:
        transform = torchaudio.transforms.MelSpectrogram(
            settings.rate,
            n_fft=settings.fft_samples,
            win_length=round(settings.window * settings.rate / 1000),
            hop_length=round(settings.hop * settings.rate / 1000),
            f_min=settings.f_min,
            f_max=settings.f_max,
            n_mels=settings.mels,
        )
        values: NDArray[np.float64] = torch.log(transform(torch.from_numpy(samples)) + settings.floor).numpy()
        return values
    finally:
        torch.set_default_dtype(torch.float32)


def main() -> None:
    values = {str(number): torchaudios(samples_for(each), each)[:, ::EVERY] for number, each in enumerate(SETTINGS)}
    np.savez_compressed(FILE, allow_pickle=False, **values)


if __name__ == "__main__":
    main()
