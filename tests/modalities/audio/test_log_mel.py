"""The log-mel spectrogram against torchaudio's, and settings that cannot be."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from resnets.core.config import decode, encode
from resnets.core.errors import UsageError
from resnets.modalities.audio.cut import cut
from resnets.modalities.audio.log_mel import LogMel
from resnets.modalities.audio.read import open_recording
from resnets.modalities.audio.spectrogram import filters, log_mel, normalized
from tests.modalities.audio.torchaudio_values import EVERY, FILE, SETTINGS, samples_for


@pytest.mark.parametrize("number", range(len(SETTINGS)))
def test_it_equals_torchaudios(number: int) -> None:
    settings = SETTINGS[number]
    found = log_mel(samples_for(settings), settings)
    assert found.shape == settings.shape()
    with np.load(FILE) as stored:
        np.testing.assert_allclose(found[:, ::EVERY], stored[str(number)], rtol=0, atol=1e-9)


def torchs(samples: NDArray[np.float64], settings: LogMel, dtype: torch.dtype) -> NDArray[np.float64]:
    """The same in torch: `torch.stft`, and triangles drawn through their corners."""
    length, n_fft = round(settings.window * settings.rate / 1000), settings.fft_samples
    spectrum = torch.stft(
        torch.from_numpy(samples).to(dtype),
        n_fft,
        hop_length=round(settings.hop * settings.rate / 1000),
        win_length=length,
        window=torch.hann_window(length, dtype=dtype),
        return_complex=True,
    )
    low, high = (float(2595 * np.log10(1 + hertz / 700)) for hertz in (settings.f_min, settings.highest))
    mel = np.linspace(low, high, settings.mels + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    bins = np.linspace(0, settings.rate / 2, n_fft // 2 + 1)
    triangles = np.stack([np.interp(bins, edges[row : row + 3], [0, 1, 0]) for row in range(settings.mels)])
    power = torch.from_numpy(triangles).to(dtype) @ spectrum.abs().square()
    return (power + settings.floor).log().double().numpy()


def test_it_equals_torchs_on_spoken_digits(shared: Path) -> None:
    settings = LogMel(rate=8000)
    paths = sorted((shared / "audio" / "spoken-digits").glob("*_1.wav"))
    assert len(paths) == 60
    for path in paths:
        with open_recording(path) as recording:
            samples = cut(recording, settings.rate, settings.samples)
        found = log_mel(samples, settings)
        np.testing.assert_allclose(found, torchs(samples, settings, torch.float64), rtol=0, atol=1e-9)
        # float32 itself is further than 1e-5 from float64.
        largest = np.abs(found).max()
        np.testing.assert_allclose(found, torchs(samples, settings, torch.float32), rtol=0, atol=1e-5 * largest)


def test_it_equals_the_formula_written_out() -> None:
    settings = LogMel(rate=1000, seconds=0.2, window=32.0, hop=10.0, mels=5, f_min=0.0)
    samples = np.random.default_rng(1).uniform(-1, 1, 200)
    padded = np.concatenate([samples[16:0:-1], samples, samples[-2:-18:-1]])
    found = log_mel(samples, settings)
    mel = [2595 * math.log10(1 + 500 / 700) * i / 6 for i in range(7)]
    edges = [700 * (10 ** (m / 2595) - 1) for m in mel]
    for frame in (0, 7, 20):
        windowed = [
            padded[frame * 10 + n] * (0.5 - 0.5 * math.cos(2 * math.pi * n / 32)) for n in range(32)
        ]  # fmt: skip
        power = [
            abs(sum(x * complex(math.cos(a), -math.sin(a)) for x, a in zip(windowed, angles, strict=True))) ** 2
            for angles in ([2 * math.pi * k * n / 32 for n in range(32)] for k in range(17))
        ]
        for row in range(5):
            low, peak, high = edges[row : row + 3]
            weights = [max(0.0, min((f - low) / (peak - low), (high - f) / (high - peak))) for f in
                       (1000 / 32 * k for k in range(17))]  # fmt: skip
            energy = sum(w * p for w, p in zip(weights, power, strict=True))
            assert found[row, frame] == pytest.approx(math.log(energy + settings.floor), abs=1e-9)


def test_it_is_normalised_over_each_recording_or_as_given() -> None:
    values = np.random.default_rng(0).normal(-3, 2, (40, 101))
    own = normalized(values, LogMel())
    assert own.dtype == np.float32
    assert abs(own.mean()) < 1e-6
    assert own.std() == pytest.approx(1, abs=1e-6)
    given = normalized(values, LogMel(normalize="given", mean=-2.0, std=4.0))
    np.testing.assert_allclose(given, (values + 2) / 4, atol=1e-6)
    np.testing.assert_allclose(normalized(np.full((40, 101), -13.8), LogMel()), 0, atol=1e-9)  # silence


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rate": 50}, "rate must be from 100"),
        ({"rate": 10**6}, "rate must be from 100"),
        ({"seconds": 0.0}, "seconds must be above 0"),
        ({"seconds": 601.0}, "at most 600"),
        ({"seconds": 0.01}, "too few for n_fft 512"),
        ({"window": 0.0}, "window must have 2 samples"),
        ({"hop": 0.01}, "hop 1"),
        ({"n_fft": 256}, "n_fft must be from the window's 400 samples"),
        ({"n_fft": 2**17}, r"n_fft must be .* to 65,536"),
        ({"mels": 0}, "mels must be from 1"),
        ({"mels": 200}, r"Mel filter \d+ from .* fewer preprocessing\.mels or a larger preprocessing\.n_fft"),
        ({"f_min": 9000.0}, "must rise from 0 to half the rate, 8000 Hz, not 9000 and 8000"),
        ({"f_max": 8001.0}, "must rise"),
        ({"floor": 0.0}, "floor and std must be above 0"),
        ({"std": 0.0}, "floor and std must be above 0"),
        ({"normalize": "all"}, "normalize takes"),
    ],
)
def test_what_cannot_be_is_refused_with_the_values(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LogMel(**fields)


@pytest.mark.parametrize("mels", [10, 40, 57, 64, 70, 80])
def test_settings_are_refused_just_where_a_filter_is_empty(mels: int) -> None:
    fits = True
    try:
        settings = LogMel(rate=8000, mels=mels)
    except UsageError:
        fits, settings = False, LogMel(rate=8000, mels=10)
        object.__setattr__(settings, "mels", mels)
    assert bool((filters.__wrapped__(settings).max(axis=1) > 0).all()) == fits


def test_settings_come_back_from_json() -> None:
    for settings in SETTINGS:
        assert decode(LogMel, encode(settings)) == settings


def test_settings_are_read_without_torch_and_numpy() -> None:
    check = (
        "import sys; from resnets.modalities.audio.log_mel import LogMel; LogMel().shape(); "
        "import resnets.modalities.audio.augmentations; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.parametrize("n_fft", [200, 201, 256])
@pytest.mark.parametrize("seconds", [0.1, 0.1001])
def test_the_shape_is_that_of_the_spectrogram_at_an_odd_transform_too(n_fft: int, seconds: float) -> None:
    settings = LogMel(rate=10_000, seconds=seconds, window=20, hop=10, n_fft=n_fft, mels=8, f_min=100)
    samples = np.random.default_rng(0).normal(size=settings.samples)
    found = log_mel(samples, settings)
    assert found.shape == settings.shape() == torchs(samples, settings, torch.float64).shape
