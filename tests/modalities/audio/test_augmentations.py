"""Augmentations of recordings: what is refused, and that they do what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from resnets.core.errors import UsageError
from resnets.modalities.audio.augmentations import SoundAugmentations
from resnets.modalities.audio.datasets.given import GivenSounds
from resnets.modalities.audio.log_mel import LogMel
from resnets.modalities.audio.reader import SoundReader
from resnets.modalities.image.preprocessing import Preprocessing
from tests.modalities.audio.sounds import tone

INPUT = LogMel(rate=8000, normalize="given")
SOUNDS = GivenSounds(((tone(0.5), 8000),))


def read(u: list[float], **settings: Any) -> np.ndarray:
    """(mels, frames) of the tone, augmented with the numbers `u`."""
    reader = SoundReader(INPUT, SoundAugmentations(**settings))
    assert reader.numbers == len(u)
    return np.asarray(reader.sample(SOUNDS, 0, np.array(u, np.float32), None)["inputs"][0])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shift": 1.5}, "shift must be from 0 to 1"),
        ({"speed": 0.6}, "speed from 0 to 0.5"),
        ({"gain": -1.0}, "gain from 0 to 60 dB"),
        ({"time_masks": 1}, "both 0 or neither"),
        ({"frequency_width": 5}, "both 0 or neither"),
        ({"time_masks": 101, "time_width": 1}, "time_masks must be from 0 to 100"),
    ],
)
def test_what_cannot_be_is_refused_with_the_values(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SoundAugmentations(**fields)


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        (Preprocessing(), {}, "recordings do not fit an input of Preprocessing"),
        (LogMel(), {"normalize": "channels"}, "normalize=channels is for images"),
        (LogMel(), {"least": 64}, "40 filters by 101 frames is too small for this model; the minimum is 64"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(settings: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SoundAugmentations().check(settings, **{"least": 1, "normalize": "given", "tta": "center", **options})


def test_the_middle_of_every_range_changes_nothing() -> None:
    plain = read([])
    middle = read([0.5, 0.5, 0.5], shift=1.0, speed=0.2, gain=6.0)
    np.testing.assert_allclose(middle, plain, atol=1e-5)


def test_a_shift_moves_the_recording_in_its_silence() -> None:
    frames = [np.flatnonzero(read([u, 0.5, 0.5], shift=1.0).max(axis=0) > -5) for u in (0.0, 0.5, 0.999)]
    assert [each[0] for each in frames] == pytest.approx([0, 24, 49], abs=3)
    assert [each[-1] for each in frames] == pytest.approx([51, 76, 100], abs=3)


def test_gain_is_in_decibels() -> None:
    louder, plain = read([0.5, 0.5, 0.75], gain=12.0), read([])
    strong = plain > 0
    np.testing.assert_allclose((louder - plain)[strong], 6 / 10 * np.log(10), atol=0.01)


def test_speed_moves_the_tone_up() -> None:
    rows = [int(read([0.5, u, 0.5], speed=0.5)[:, 50].argmax()) for u in (0.0, 0.5, 0.999)]
    edges = INPUT.edges()
    for row, hertz in zip(rows, (220, 440, 660), strict=True):
        assert edges[row] < hertz < edges[row + 2]


def test_masks_set_bands_to_the_mean() -> None:
    plain = read([])
    masked = read(
        [0.5] * 3 + [0.999, 0.5, 0.999, 0.0], frequency_masks=1, frequency_width=4, time_masks=1, time_width=9
    )
    changed = np.zeros(plain.shape, bool)
    changed[18:22] = changed[:, :9] = True
    np.testing.assert_array_equal(masked == 0, changed)
    np.testing.assert_allclose(masked[~changed], plain[~changed], atol=1e-5)


def test_masks_wider_than_the_spectrogram_fit_it() -> None:
    masked = read([0.5] * 3 + [0.999, 0.999], frequency_masks=1, frequency_width=9999)
    assert not masked.any()


def test_numbers_are_drawn_only_where_something_is_random() -> None:
    assert SoundAugmentations().numbers == 0
    assert SoundAugmentations().holds
    assert SoundReader(INPUT).resident
    some = SoundAugmentations(shift=1.0, time_masks=2, time_width=5, frequency_masks=1, frequency_width=3)
    assert some.numbers == 9
    assert not some.holds
    assert not SoundReader(INPUT, some).resident
