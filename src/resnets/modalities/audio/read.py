"""From a sound file to samples, by soundfile (libsndfile).

A recording is opened, its header is checked, and then only as much of it is read as is wanted, so that a file of hours
costs no more than the seconds that are cut from it. Several channels are averaged.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError, ResnetsError, not_installed
from resnets.modalities.audio.lengths import missing_bytes

Samples = NDArray[np.float64]  # (N,) of one channel, from -1 to 1
File = Path | bytes | tuple[NDArray[Any], int]  # a path, the bytes of a file, or samples (N,) or (N, channels) and Hz
FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG")  # as libsndfile calls them
MAX_RATE = 768_000  # Hz
MAX_CHANNELS = 256
BLOCK = 2**20  # values that are read at a time


class Recording(Protocol):
    """A recording that is open.

    Attributes:
        name: what messages call it.
        rate: in Hz.
        frames: samples of a channel, 1 or more.
        channels: 1 or more.
    """

    name: str
    rate: int
    frames: int
    channels: int

    def read(self, start: int, count: int) -> Samples:
        """(count,) the mean of the channels from frame `start` on; the range lies within `frames`.

        Raises:
            DataError: they cannot be read, or are not finite.
        """
        ...


@contextlib.contextmanager
def open_recording(file: File, name: str = "") -> Iterator[Recording]:
    """Context manager that opens a recording; reading it there raises DataError with its name and the cause.

    Args:
        name: what to call it in messages; a path's own by default.

    Raises:
        DataError: missing, truncated, without samples, or of none of `FORMATS`.
        UsageError: soundfile is not installed.
    """
    name = name or (str(file) if isinstance(file, Path) else "the recording")
    with _named_errors(name):
        if isinstance(file, tuple):
            yield _InMemory(name, *file)
            return
        soundfile = _soundfile()
        if isinstance(file, Path):
            mode = os.stat(file).st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError
            if not stat.S_ISREG(mode):  # opening a pipe would block
                raise DataError(f"{name} is no file that sound can be read from.")
        with open(file, "rb") if isinstance(file, Path) else io.BytesIO(file) as content:
            size = os.fstat(content.fileno()).st_size if isinstance(file, Path) else len(file)
            if not size:
                raise DataError(f"{name} is empty (0 bytes). Replace it, or take it out.")
            missing = missing_bytes(content, size)
        if missing:
            raise DataError(
                f"{name} is truncated: {missing:,} bytes of its sound are missing. Replace it, or take it out."
            )
        # A name's own bytes, as it need not be text.
        source = io.BytesIO(file) if isinstance(file, bytes) else file if os.name == "nt" else os.fsencode(file)
        with soundfile.SoundFile(source) as opened:
            yield _OnDisk(name, opened)


def examine(recording: Recording) -> bool:
    """Reads a recording to the end, a block at a time; returns whether it is silent, all of its samples being 0.

    Raises:
        DataError: it is damaged.
    """
    silent, size = True, max(1, BLOCK // recording.channels)
    for start in range(0, recording.frames, size):
        silent &= not recording.read(start, min(size, recording.frames - start)).any()
    return silent


class _OnDisk:
    def __init__(self, name: str, file: Any) -> None:
        self.name = name
        self._file = file
        if file.format not in FORMATS:
            raise DataError(f"{name} is a {file.format} file: only wav, flac and ogg are read. Convert it.")
        self.rate, self.frames, self.channels = file.samplerate, file.frames, file.channels
        _check(self)

    def read(self, start: int, count: int) -> Samples:
        self._file.seek(start)
        parts, size = [], max(1, BLOCK // self.channels)
        for first in range(0, count, size):
            wanted = min(size, count - first)
            values = self._file.read(wanted, dtype="float64", always_2d=True)
            if len(values) < wanted:
                there = start + first + len(values)
                raise DataError(
                    f"{self.name} is truncated: it has {there:,} of its {self.frames:,} samples. "
                    "Replace it, or take it out."
                )
            parts.append(_mono(values, self.name, start + first))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class _InMemory:
    def __init__(self, name: str, values: NDArray[Any], rate: int) -> None:
        self.name = name
        values = np.asarray(values)
        if values.ndim not in (1, 2) or values.dtype.kind not in "fiu":
            raise DataError(f"{name} must be samples (N,) or (N, channels), not {values.shape} of {values.dtype}.")
        self._values = values if values.ndim == 2 else values[:, None]
        self.rate, (self.frames, self.channels) = int(rate), self._values.shape
        _check(self)

    def read(self, start: int, count: int) -> Samples:
        values = self._values[start : start + count]
        scaled = values.astype(np.float64)
        if values.dtype.kind in "iu":  # as files of integers are read
            half = 2.0 ** (8 * values.dtype.itemsize - 1)
            scaled = scaled / half - (values.dtype.kind == "u")
        return _mono(scaled, self.name, start)


def _check(recording: Recording) -> None:
    """Raises DataError unless the header can be right."""
    r = recording
    if not 1 <= r.rate <= MAX_RATE:
        raise DataError(f"{r.name} has a rate of {r.rate:,} Hz: it must be from 1 to {MAX_RATE:,} Hz.")
    if not 1 <= r.channels <= MAX_CHANNELS:
        raise DataError(f"{r.name} has {r.channels} channels: it must have from 1 to {MAX_CHANNELS}.")
    if r.frames < 1:
        raise DataError(f"{r.name} holds no samples. Replace it, or take it out.")
    if r.frames >= 2**48:
        raise DataError(f"{r.name} does not say how long it is, as if it were a stream. Save it anew.")


def _mono(values: NDArray[np.float64], name: str, start: int) -> Samples:
    """(N,) the mean of the channels of `values` (N, channels), which begin at frame `start`."""
    mean = values[:, 0] if values.shape[1] == 1 else values.mean(axis=1)
    finite = np.isfinite(mean)
    if not finite.all():
        first = int(np.argmin(finite))
        raise DataError(
            f"{name} has samples that are not finite (NaN or infinity), first number {start + first:,}. "
            "Replace it, or take it out."
        )
    return mean


def _soundfile() -> Any:
    """The module."""
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the package without its library
        raise not_installed("Reading sound needs soundfile", "audio") from error
    return soundfile


@contextlib.contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Context manager that turns whatever reading raises into a DataError with `name` in it."""
    try:
        yield
    except (ResnetsError, ImportError, MemoryError, RecursionError):  # the last three are no fault of the file
        raise
    except FileNotFoundError:
        raise DataError(f"There is no recording at {name}.") from None
    except IsADirectoryError:
        raise DataError(f"{name} is a folder, not a recording: name its recordings, such as {name}/*.wav.") from None
    except PermissionError:
        raise DataError(f"{name} may not be read: change its permissions, or take it out.") from None
    except Exception as error:
        reason = str(getattr(error, "error_string", error)).rstrip(".")
        if "unknown format" in reason or "not recognised" in reason.lower():
            raise DataError(
                f"{name} is not a recording that can be read: damaged, or of an unknown format (not wav, flac, ogg or "
                "opus)."
            ) from None
        raise DataError(f"{name} is damaged: {reason}. Replace it, or take it out.") from error
