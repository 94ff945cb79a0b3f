"""Cuts: where they lie, what is padded, and resampling."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from resnets.core.errors import DataError
from resnets.modalities.audio.cut import cut, ratio, resample
from resnets.modalities.audio.read import Recording, open_recording
from tests.modalities.audio.sounds import tone, write


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    """A hundred samples that rise by one 16-bit level each."""
    return write(tmp_path / "ramp.wav", np.arange(100, dtype=np.int16), subtype="PCM_16")


@pytest.mark.parametrize(("position", "first"), [(0.0, 0), (0.5, 45), (0.25, 22), (0.9999999, 90), (1.0, 90)])
def test_a_longer_recording_is_cut_where_it_is_said(ramp: Path, position: float, first: int) -> None:
    with open_recording(ramp) as recording:
        levels = cut(recording, 8000, 10, position) * 2**15
    assert levels.tolist() == list(range(first, first + 10))


@pytest.mark.parametrize(("position", "left"), [(0.0, 0), (0.5, 15), (0.9999999, 30), (1.0, 30)])
def test_a_shorter_recording_lies_among_zeros(ramp: Path, position: float, left: int) -> None:
    with open_recording(ramp) as recording:
        levels = cut(recording, 8000, 130, position) * 2**15
    assert levels.tolist() == [0] * left + list(range(100)) + [0] * (30 - left)


@pytest.mark.parametrize(("given", "wanted"), [(44100, 8000), (8000, 16000), (11025, 16000), (48000, 22050)])
def test_a_whole_recording_is_resampled_as_scipy_does(tmp_path: Path, given: int, wanted: int) -> None:
    path = write(tmp_path / "a.wav", tone(0.5, given), given, subtype="DOUBLE")
    divisor = math.gcd(given, wanted)
    reference = scipy.signal.resample_poly(tone(0.5, given), wanted // divisor, given // divisor)
    with open_recording(path) as recording:
        np.testing.assert_array_equal(cut(recording, wanted, len(reference)), reference)


@pytest.mark.parametrize(("given", "wanted"), [(44100, 8000), (8000, 16000)])
def test_a_resampled_tone_is_the_tone(given: int, wanted: int) -> None:
    time = np.arange(given) / given
    found = resample(np.sin(2 * np.pi * 440 * time), *ratio(wanted, given))
    middle = slice(wanted // 4, 3 * wanted // 4)
    exact = np.sin(2 * np.pi * 440 * np.arange(wanted) / wanted)
    np.testing.assert_allclose(found[middle], exact[middle], atol=2e-3)


def test_a_cut_is_resampled_as_if_the_whole_recording_were(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(4, 44100), 44100, subtype="DOUBLE")
    whole = resample(tone(4, 44100), 80, 441)
    with open_recording(path) as recording:
        part = cut(recording, 8000, 4000, 1.0)
        assert len(cut(recording, 8000, 4000, 0.3)) == 4000
    # It may begin between two samples of the whole: by less than one, so that the spectra agree.
    lags = [np.abs(part[:-1] - whole[len(whole) - 4000 - lag : len(whole) - 1 - lag]).mean() for lag in (0, 1)]
    assert min(lags) < np.abs(whole).mean()
    assert np.abs(np.fft.rfft(part))[220] == pytest.approx(np.abs(np.fft.rfft(whole[-4000:]))[220], rel=0.01)


class Counted:
    """A recording that is longer than any memory, and counts what is read of it."""

    name, rate, frames, channels = "long", 44100, 10**12, 1

    def __init__(self) -> None:
        self.count = 0

    def read(self, start: int, count: int) -> np.ndarray:
        assert 0 <= start <= start + count <= self.frames
        self.count += count
        return np.ones(count)


@pytest.mark.parametrize("position", [0.0, 0.3, 0.5, 1.0])
def test_of_a_long_recording_little_more_than_the_cut_is_read(position: float) -> None:
    recording = Counted()
    as_recording: Recording = recording
    samples = cut(as_recording, 8000, 8000, position)
    assert len(samples) == 8000
    np.testing.assert_allclose(samples[100:-100], 1, atol=1e-2)
    assert recording.count < 44100 + 200


def test_ratios_of_usual_rates_are_exact_and_all_are_small() -> None:
    assert ratio(8000, 44100) == (80, 441)
    assert ratio(16000, 8000) == (2, 1)
    assert ratio(8000, 8000, 1.07) == (100, 107)
    generator = np.random.default_rng(0)
    for _ in range(300):
        given, wanted = (int(each) for each in generator.integers(4000, 192_000, 2))
        speed = float(generator.uniform(0.5, 1.5))
        up, down = ratio(wanted, given, speed)
        assert max(up, down) <= 2000
        assert up / down == pytest.approx(wanted / (given * round(100 * speed) / 100), rel=3e-4)


@pytest.mark.parametrize(("speed", "cycles"), [(1.0, 200), (1.25, 250), (0.8, 160)])
def test_speed_changes_pitch_and_length(tmp_path: Path, speed: float, cycles: int) -> None:
    path = write(tmp_path / "a.wav", np.sin(2 * np.pi * 400 * np.arange(8000) / 8000), subtype="DOUBLE")
    with open_recording(path) as recording:
        samples = cut(recording, 8000, 4000, speed=speed)
        assert np.count_nonzero(cut(recording, 8000, 16000, speed=speed)) == pytest.approx(8000 / speed, abs=20)
    assert int(np.argmax(np.abs(np.fft.rfft(samples)))) == cycles


@pytest.mark.parametrize(("given", "wanted"), [(1, 8000), (768_000, 100)])
def test_a_rate_that_is_too_far_away_is_refused(tmp_path: Path, given: int, wanted: int) -> None:
    path = write(tmp_path / "a.wav", tone(), given)
    with (
        open_recording(path) as recording,
        pytest.raises(DataError, match=rf"a\.wav has a rate of {given:,} Hz, which is"),
    ):
        cut(recording, wanted, 100)
