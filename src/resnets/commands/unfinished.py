"""The answers of `predict --out FILE` so far, beside FILE, so that an interrupted command goes on where it was; with
`--out FOLDER` they are beside predictions.json.

`FILE.unfinished` has a line of JSON for the model and the settings, then one for each answer: the absolute path of the
input, its size, the time of its last change, and the answer. Lines are written when a batch is done, so that batches,
and with them the last bit of each answer, are those of a command that was not interrupted. It is removed when FILE is
written. Other ranks under torchrun have files of their own, with their number behind the name.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from resnets.core.console import note
from resnets.core.files import explain, to_json
from resnets.core.units import show_count
from resnets.version import __version__

if TYPE_CHECKING:
    from resnets.artifacts.model_file import ModelCard

ENDING = ".unfinished"
Key = tuple[str, int, int]  # absolute path, bytes, nanoseconds


class Unfinished:
    """The answers of an interrupted command that had the same model and settings, and those of this one.

    What cannot be read, or is of another model or other settings, is left out with a note, and begun anew.

    Args:
        out: the file that the answers are for.
        settings: all that decides an answer, ready for JSON.
        rank: whose file is written.
    """

    def __init__(self, out: Path, card: ModelCard, settings: Mapping[str, Any], *, rank: int = 0) -> None:
        self._out = out
        self._card = card
        self._header = to_json({"format": 1, "version": __version__, **settings})
        self._path = _path(out, rank)
        self._lines: list[str] = []
        self._file: BinaryIO | None = None
        self._kept = 0  # bytes of our own file that go on
        self._known: dict[Key, Any] = {}
        for path in files_of(out):
            self._read(path)
        if self._known and rank == 0:
            note(f"{show_count(len(self._known), 'input')} of {out} were answered before: going on.")

    def answer(self, key: Key) -> Any:
        """The answer to a file; None where it is not known, or the file has changed."""
        return self._known.get(key)

    def add(self, key: Key, answer: Any) -> None:
        """Records the answer to a file, until `batch_done` writes it."""
        from resnets.tasks.catalog import open_task

        task = open_task(self._card.settings)
        data = task.answer_json(answer, self._card.classes) | task.answer_extra(answer)
        self._lines.append(to_json([*key, data]))

    def batch_done(self) -> None:
        """Writes what was recorded.

        Raises:
            FileError: it cannot be written.
        """
        try:
            if self._file is None:
                self._file = self._opened()
            self._file.write("".join(f"{line}\n" for line in self._lines).encode())
            self._file.flush()
        except OSError as error:
            raise explain("write", self._path, error) from error
        self._lines = []

    def close(self) -> None:
        """Closes the file, and leaves it for a later command."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    def _opened(self) -> BinaryIO:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._kept:
            file: BinaryIO = open(self._path, "r+b")  # noqa: SIM115
            file.truncate(self._kept)
            file.seek(self._kept)
            return file
        if os.path.lexists(self._path):
            self._path.unlink()  # never through a link, to a file elsewhere
        file = open(self._path, "xb")  # noqa: SIM115
        file.write(f"{self._header}\n".encode())
        return file

    def _read(self, path: Path) -> None:
        """Adds the answers in `path`, up to its last whole line."""
        from resnets.tasks.catalog import open_task

        task, known = open_task(self._card.settings), {}
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                raise ValueError("it is no regular file")
            content = path.read_bytes()
            header, *lines = content[: content.rfind(b"\n") + 1].decode().split("\n")[:-1] or [""]
            if header != self._header:
                json.loads(header)  # damaged, unless it is JSON
                note(f"{path} has answers of another model or other settings: they are computed anew.")
                return
            for line in lines:
                place, size, time, data = json.loads(line)
                if not (isinstance(place, str) and type(size) is int and type(time) is int):
                    raise ValueError("it names no file")
                known[place, size, time] = task.restore_answer(data, self._card.classes)
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            note(f"{path} is damaged ({str(error)[:80]}): its answers are computed anew.")
            return
        self._known |= known
        if path == self._path:
            self._kept = content.rfind(b"\n") + 1


def files_of(out: Path) -> list[Path]:
    """The files of all ranks with answers for `out`."""
    first = _path(out, 0)
    with contextlib.suppress(OSError):
        names = sorted(os.listdir(out.parent))
        ranks = [
            out.parent / n for n in names if n.startswith(f"{first.name}.") and n[len(first.name) + 1 :].isdecimal()
        ]
        return [first, *ranks] if first.name in names else ranks
    return []


def remove(out: Path) -> None:
    """Removes the files of all ranks, once `out` is written."""
    for path in files_of(out):
        with contextlib.suppress(OSError):
            path.unlink()


def key_of(path: Any) -> Key | None:
    """What tells an input from another one and from itself after a change; None of what is no file."""
    if not isinstance(path, str | os.PathLike):
        return None
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return os.path.abspath(os.fsdecode(path)), found.st_size, found.st_mtime_ns


def _path(out: Path, rank: int) -> Path:
    return out.with_name(f"{out.name}{ENDING}{f'.{rank}' if rank else ''}")
