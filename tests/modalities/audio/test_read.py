"""Reading sound files: formats, channels, and every kind of damage by name and cause."""

from __future__ import annotations

import builtins
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from resnets.core.errors import DataError, UsageError
from resnets.core.installation import install_command
from resnets.modalities.audio import read
from resnets.modalities.audio.read import File, examine, open_recording
from tests.conftest import truncate
from tests.modalities.audio.sounds import tone, write


def samples_of(file: File) -> NDArray[np.float64]:
    with open_recording(file) as recording:
        examine(recording)
        return recording.read(0, recording.frames)


@pytest.mark.parametrize(
    ("ending", "subtype", "within"),
    [
        ("wav", "PCM_16", 2**-15), ("wav", "PCM_24", 2**-23), ("wav", "PCM_32", 2**-31), ("wav", "PCM_U8", 2**-7),
        ("wav", "FLOAT", 1e-7), ("wav", "DOUBLE", 0.0), ("flac", "PCM_16", 2**-15), ("flac", "PCM_24", 2**-23),
        ("ogg", "VORBIS", 0.1),
    ],
)  # fmt: skip
def test_samples_come_back_as_they_were_written(tmp_path: Path, ending: str, subtype: str, within: float) -> None:
    path = write(tmp_path / f"a.{ending}", tone(), subtype=subtype)
    for file in (path, path.read_bytes()):
        np.testing.assert_allclose(samples_of(file), tone(), rtol=0, atol=within)


def test_the_channels_are_averaged(tmp_path: Path) -> None:
    channels = np.stack([tone(seed=1), tone(seed=2), tone(seed=3)], axis=1)
    path = write(tmp_path / "a.wav", channels, subtype="DOUBLE")
    np.testing.assert_allclose(samples_of(path), channels.mean(axis=1), atol=1e-15)


def test_samples_in_memory_read_as_a_file_of_them(tmp_path: Path) -> None:
    whole = (tone() * 2**15).astype(np.int16)
    path = write(tmp_path / "a.wav", whole, subtype="PCM_16")
    np.testing.assert_array_equal(samples_of((whole, 8000)), samples_of(path))
    np.testing.assert_array_equal(samples_of((tone(), 8000)), tone())
    np.testing.assert_array_equal(samples_of((np.array([0, 128, 255], np.uint8), 8000)), [-1, 0, 127 / 128])


def test_only_what_is_asked_for_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.wav", tone(5), subtype="DOUBLE")
    asked: list[int] = []
    original = soundfile.SoundFile.read

    def counted(self: Any, frames: int, **options: Any) -> Any:
        asked.append(frames)
        return original(self, frames, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    with open_recording(path) as recording:
        np.testing.assert_array_equal(recording.read(30_000, 100), tone(5)[30_000:30_100])
    assert asked == [100]


def test_a_long_recording_is_examined_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.zeros(1000)
    samples[-1] = 0.5
    monkeypatch.setattr(read, "BLOCK", 64)
    with open_recording(write(tmp_path / "a.wav", samples)) as recording:
        assert not examine(recording)
        np.testing.assert_array_equal(recording.read(0, 1000), samples)
    with open_recording(write(tmp_path / "b.wav", np.zeros(1000))) as recording:
        assert examine(recording)


def not_finite(path: Path) -> None:
    samples = tone()
    samples[1234] = np.nan
    write(path, samples, subtype="FLOAT")


def cut_short(path: Path) -> None:
    truncate(write(path, tone()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda path: write(path, np.zeros(0)), "holds no samples", id="no samples"),
        pytest.param(lambda path: path.write_bytes(b""), r"is empty \(0 bytes\)", id="empty"),
        pytest.param(lambda path: path.write_text("a poem " * 50), "is not a recording that can be read", id="text"),
        pytest.param(not_finite, r"not finite .* first number 1,234", id="NaN"),
        pytest.param(cut_short, r"is truncated: 4,0\d\d bytes of its sound are missing", id="truncated"),
        pytest.param(lambda path: path.mkdir(), "is a folder, not a recording", id="folder"),
        pytest.param(lambda path: None, "There is no recording at", id="missing"),
    ],
)
def test_damage_is_named_with_path_and_cause(tmp_path: Path, make: Any, message: str) -> None:
    path = tmp_path / "odd.wav"
    make(path)
    with pytest.raises(DataError, match=message) as caught:
        samples_of(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_file_is_never_read_in_silence(tmp_path: Path, ending: str, share: float) -> None:
    path = truncate(write(tmp_path / f"a.{ending}", tone(3)), share)
    with pytest.raises(DataError, match=str(path)):
        samples_of(path)


def test_a_wav_whose_length_was_not_known_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone())
    content = bytearray(path.read_bytes())
    place = content.index(b"data")
    content[4:8] = content[place + 4 : place + 8] = b"\xff" * 4  # as programs write into pipes
    path.write_bytes(content)
    assert len(samples_of(path)) == len(tone())


def test_other_formats_are_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.aiff")
    with pytest.raises(DataError, match="is a AIFF file: only wav, flac and ogg are read"):
        samples_of(path.rename(tmp_path / "a.wav"))


@pytest.mark.skipif(os.name != "posix", reason="needs pipes and names of bytes")
def test_a_pipe_is_not_opened_and_names_may_be_any_bytes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(DataError, match="is no file that sound can be read from"):
        samples_of(tmp_path / "pipe.wav")
    odd = write(tmp_path / "a.wav").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.wav"))
    assert len(samples_of(odd)) == len(tone())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((np.zeros((2, 2, 2)), 8000), "must be samples"),
        ((np.array(["a"]), 8000), "must be samples"),
        ((np.zeros(5), 0), "rate of 0 Hz"),
        ((np.zeros(0), 8000), "holds no samples"),
        ((np.zeros((5, 1000)), 8000), "1000 channels"),
        ((np.full(5, np.inf), 8000), "not finite"),
    ],
)
def test_samples_that_cannot_be_are_refused(given: tuple[Any, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        samples_of(given)


def test_without_soundfile_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.wav")
    original = builtins.__import__

    def missing(name: str, *arguments: Any) -> Any:
        if name == "soundfile":
            raise ModuleNotFoundError(name)
        return original(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UsageError, match=re.escape(install_command(extra="audio"))):
        samples_of(path)
    assert len(samples_of((tone(), 8000))) == len(tone())  # which needs no file


def test_soundfile_is_not_imported_before_a_file_is_read() -> None:
    check = (
        "import sys, numpy as np; from resnets.modalities.inputs import LogMel, dataset_of, open_reader; "
        "open_reader(LogMel()).load(dataset_of(LogMel(), [(np.ones(9), 9000)]), 0, 'center'); "
        "import resnets.modalities.audio.datasets.folder; sys.exit('soundfile' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.parametrize("error", [MemoryError, RecursionError, ImportError])
def test_what_is_no_fault_of_the_file_is_not_laid_to_it(tmp_path: Path, error: type[Exception]) -> None:
    path = write(tmp_path / "a.wav", tone())
    with pytest.raises(error), open_recording(path):
        raise error
