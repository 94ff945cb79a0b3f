"""The reader of recordings: training and evaluation samples, remarks, notes and thumbnails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnets.core.errors import DataError, UsageError
from resnets.modalities.audio.augmentations import SoundAugmentations
from resnets.modalities.audio.cut import cut
from resnets.modalities.audio.datasets.given import GivenSounds
from resnets.modalities.audio.log_mel import LogMel
from resnets.modalities.audio.read import open_recording
from resnets.modalities.audio.reader import SoundReader
from resnets.modalities.audio.spectrogram import log_mel, normalized
from resnets.modalities.base import Subset
from resnets.modalities.inputs import dataset_of, open_reader
from tests.modalities.audio.sounds import tone, write

INPUT = LogMel(rate=8000)


def test_evaluation_gives_the_spectrogram_of_the_centre(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(3))
    reader = open_reader(INPUT)
    loaded = reader.load(dataset_of(INPUT, [str(path)]), 0, "center")
    with open_recording(path) as recording:
        expected = normalized(log_mel(cut(recording, 8000, 8000), INPUT), INPUT)
    (values,) = loaded.inputs
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values[0], expected)
    slot = reader.slots(None)["inputs"]
    assert (slot.shape, slot.dtype) == ((1, 40, 101), np.float32)


def test_without_augmentations_all_ways_to_a_sample_agree(tmp_path: Path) -> None:
    sounds = GivenSounds((write(tmp_path / "a.flac"),))
    reader = SoundReader(INPUT)
    (loaded,) = reader.load(sounds, 0, "center").inputs
    np.testing.assert_array_equal(reader.sample(sounds, 0, np.zeros(0, np.float32), None)["inputs"], loaded)
    prepared, bits = reader.examine(sounds, 0, True)
    assert prepared is not None
    assert bits == 0
    np.testing.assert_array_equal(prepared, loaded)
    again = reader.load_prepared(prepared, "center")
    assert again is not None
    np.testing.assert_array_equal(again.inputs[0], loaded)
    assert reader.examine(sounds, 0, False)[0] is None


def test_a_path_its_bytes_and_its_samples_give_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(), subtype="DOUBLE")
    sounds = GivenSounds((path, str(path), path.read_bytes(), (tone(), 8000)))
    values = [SoundReader(INPUT).load(sounds, index, "center").inputs[0] for index in range(4)]
    for each in values[1:]:
        np.testing.assert_array_equal(each, values[0])
    assert [sounds.name(index) for index in range(4)] == [str(path), str(path), "recording 2", "recording 3"]


def test_a_subset_is_read_by_its_own_numbers() -> None:
    sounds = GivenSounds(tuple((tone(hertz=hertz), 8000) for hertz in (300, 600, 1200)))
    reader = SoundReader(INPUT, SoundAugmentations(shift=1.0))
    part, u = Subset(sounds, np.array([2, 0])), np.full(3, 0.3, np.float32)
    for index, number in enumerate((2, 0)):
        np.testing.assert_array_equal(
            reader.sample(part, index, u, None)["inputs"], reader.sample(sounds, number, u, None)["inputs"]
        )
        np.testing.assert_array_equal(
            reader.load(part, index, "center").inputs[0], reader.load(sounds, number, "center").inputs[0]
        )


@pytest.mark.parametrize(
    ("samples", "rate", "remarks"),
    [
        (tone(0.5), 8000, set()),
        (tone(0.5, 44100), 44100, {"resampled"}),
        (np.stack([tone(0.5)] * 2, axis=1), 8000, {"averaged"}),
        (tone(1.5), 8000, {"cut"}),
        (tone(1.0), 8000, set()),
        (np.zeros(800), 8000, {"silent"}),
        (np.zeros((99_999, 2)), 16000, {"resampled", "averaged", "cut", "silent"}),
    ],
)
def test_remarks_are_made_of_what_the_user_should_know(samples: Any, rate: int, remarks: set[str]) -> None:
    _, bits = SoundReader(INPUT).examine(GivenSounds(((samples, rate),)), 0, False)
    assert {name for place, name in enumerate(INPUT.remarks) if bits >> place & 1} == remarks


def test_notes_count_the_remarks() -> None:
    notes = SoundReader(INPUT).notes(dict.fromkeys(INPUT.remarks, 12), 1300, "train")
    assert notes[0] == "12 of 1,300 train recordings have another rate than 8,000 Hz and are resampled."
    assert [note.split("train ")[1].split()[:3] for note in notes] == [
        ["recordings", "have", "another"], ["recordings", "have", "several"],
        ["recordings", "are", "longer"], ["recordings", "are", "silent:"],
    ]  # fmt: skip
    assert SoundReader(INPUT).notes({"silent": 0}, 10, "val") == ()


def test_other_test_time_augmentations_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match="no test-time augmentation 'flip' of recordings: choose center"):
        SoundReader(INPUT).load(GivenSounds(((tone(), 8000),)), 0, "flip")


@pytest.mark.parametrize("bad", [np.full(800, 1e300), np.array([np.nan] * 800)])
def test_samples_that_give_no_spectrogram_are_damage(bad: Any) -> None:
    sounds = GivenSounds(((bad, 8000),))
    reader = SoundReader(INPUT, SoundAugmentations(shift=1.0))
    for read in (
        lambda: reader.load(sounds, 0, "center"),
        lambda: reader.examine(sounds, 0, False),
        lambda: reader.sample(sounds, 0, np.zeros(3, np.float32), None),
    ):
        with pytest.raises(DataError, match="recording 0 has samples that are"):
            read()


def test_silence_has_a_spectrogram_of_zeros() -> None:
    (values,) = SoundReader(INPUT).load(GivenSounds(((np.zeros(800), 8000),)), 0, "center").inputs
    np.testing.assert_allclose(values, 0, atol=1e-9)


def test_a_thumbnail_has_low_tones_at_the_bottom() -> None:
    image = SoundReader(INPUT).thumbnail(GivenSounds(((tone(1.0, hertz=200), 8000),)), 0)
    assert image.size == (101, 40)
    assert image.mode == "L"
    assert int(np.asarray(image)[:, 50].argmax()) > 30


@pytest.mark.parametrize("bad", [3, ("a", "b"), (np.zeros(5),), None])
def test_what_is_no_recording_is_refused(bad: Any) -> None:
    with pytest.raises(UsageError, match="A recording is a path, the bytes of a file, or a pair"):
        dataset_of(INPUT, [bad])
