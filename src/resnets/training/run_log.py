"""`log.jsonl`: the events of a run, one per line, which are checked when they are read."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path
from typing import BinaryIO

from resnets.core.errors import FileError
from resnets.core.files import explain, to_json, write_bytes
from resnets.training.events import Event

# By kind of event, the fields that reading relies on; and the types of those fields.
_NUMBER = (int, float)
_REQUIRED = {
    "start": ("steps", "epochs"),
    "step": ("step", "epoch", "loss"),
    "evaluation": ("step", "epoch", "loss"),
    "extension": ("step", "epochs"),
    "plan": ("step", "total", "evaluate_every"),
}
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(
        ("step", "steps", "train_samples", "test_samples", "leaked_samples", "parameters", "world", "skipped", "total"),
        (int,),
    ),
    **dict.fromkeys(("epoch", "epochs", "loss", "lr", "images_per_second", "accuracy", "top5", "seconds"), _NUMBER),
    **dict.fromkeys(("recipe", "event", "task", "noun"), (str,)),
    **dict.fromkeys(("environment", "leaked"), (dict,)),
    "notes": (list,),
}
_MAY_BE_NONE = ("loss", "lr", "images_per_second", "train_loss")  # JSON has no NaN or infinity
_LARGEST = 2**53


class Log:
    """Appends events to `log.jsonl` at once, a line each.

    A symbolic or hard link is first replaced by a file of the run's own, so that no file elsewhere is truncated.

    Args:
        length: bytes of an existing log that are kept.

    Raises:
        FileError: it cannot be written, is not a regular file, or ends before `length`.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        self.path = path
        try:
            found = path.lstat() if os.path.lexists(path) else None
            if found is not None and (stat.S_ISLNK(found.st_mode) or found.st_nlink > 1):
                write_bytes(path, _read(path, length)[:length] if length else b"")
            elif found is not None and not stat.S_ISREG(found.st_mode):
                raise _not_regular(path)
            self._file: BinaryIO = open(path, "ab")  # noqa: SIM115
            self._file.truncate(min(length, os.fstat(self._file.fileno()).st_size))
        except OSError as error:
            raise explain("write", path, error) from error

    def __call__(self, event: Event) -> None:
        try:
            self._file.write((to_json(event) + "\n").encode())
            self._file.flush()
        except OSError as error:
            raise explain("write", self.path, error) from error

    def length(self) -> int:
        """Returns the length of the log in bytes, all of them on the disk."""
        try:
            os.fsync(self._file.fileno())
            return os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise explain("write", self.path, error) from error

    def close(self) -> None:
        # What a full disk could not hold was an error when it was written.
        with contextlib.suppress(OSError):
            self._file.close()


def read_log(path: Path, length: int | None = None) -> list[Event]:
    """Returns the events in a log; an incomplete last line is left out.

    Args:
        length: bytes to read, up to the end of a line; None for all.

    Raises:
        FileError: it cannot be read, ends before `length`, or a line before the last is not an event.
    """
    content = _read(path, length)
    if length is not None:
        content = content[:length]
        if content and not content.endswith(b"\n"):
            raise FileError(f"{path} is damaged: its byte {length:,} does not end a line. {_WAY_OUT}")
    events: list[Event] = []
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            event = json.loads(line.decode(errors="replace"))
        except (ValueError, RecursionError):
            event = None
        wrong = _wrong_with(event)
        if wrong is not None:
            raise FileError(f"{path} is damaged: line {number} is not an event of a run ({wrong}). {_WAY_OUT}")
        events.append(event)
    return events


def whole_lines(path: Path) -> int:
    """Returns the length of a log in bytes, without an incomplete last line."""
    return _read(path, None).rfind(b"\n") + 1


_WAY_OUT = "Put a copy back, or remove it: the run then goes on with a new log."


def _wrong_with(event: object) -> str | None:
    """Returns what is wrong with `event`, or None."""
    if not isinstance(event, dict):
        return "not a JSON object"
    kind = event.get("event")
    if not isinstance(kind, str):
        return 'no "event"'
    for name in _REQUIRED.get(kind, ()):
        if name not in event:
            return f'no "{name}"'
    for name, value in event.items():
        types = _TYPES.get(name)
        if types is None or (value is None and name in _MAY_BE_NONE):
            continue
        if not isinstance(value, types) or isinstance(value, bool):
            return f'"{name}" is {json.dumps(value)[:40]}'
        if isinstance(value, int) and abs(value) > _LARGEST:
            return f'"{name}" is too large'
    if not all(isinstance(note, str) for note in event.get("notes", ())):
        return '"notes" are not texts'
    return None


def _read(path: Path, length: int | None) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would block
            raise _not_regular(path)
        content = path.read_bytes()
    except OSError as error:
        raise explain("read", path, error) from error
    if length is not None and len(content) < length:
        raise FileError(
            f"{path} has {len(content):,} bytes of the {length:,} that it had when the checkpoint was saved. {_WAY_OUT}"
        )
    return content


def _not_regular(path: Path) -> FileError:
    return FileError(f"{path} is not a regular file. {_WAY_OUT}")
