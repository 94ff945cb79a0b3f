"""Reading and writing files. Files are written atomically: under a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from resnets.core.errors import FileError

_UMASK = os.umask(0)  # reading it requires setting it, which is only safe while there is one thread
os.umask(_UMASK)
_MODE = 0o666 & ~_UMASK


def explain(action: str, path: Path, error: OSError) -> FileError:
    """The FileError for a failed read or write of `path`.

    Args:
        action: "read" or "write".
    """
    reason = (error.strerror or str(error)).lower()
    return FileError(f"Cannot {action} {path}: {reason}.")


def sha256_of(path: Path) -> str:
    """The SHA-256 of the content of a file.

    Raises:
        FileError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise explain("read", path, error) from error


def is_file_name(text: str) -> bool:
    """Whether `text` can be a path: it has no NUL and no surrogate that stands for no byte."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Context manager that yields a temporary path, which is renamed to `path` on success and deleted on an error.

    After a power cut, `path` is either the old file or the new one, and complete.

    Raises:
        FileError: the disk is full, or the folder cannot be created or is not writable.
    """
    import tempfile  # not at the top, since every command imports this module when it starts

    if not is_file_name(str(path)):
        raise FileError(f"No file can be called {str(path)!r}.")
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A file name has at most 255 bytes, and the temporary one is longer.
        start = os.fsdecode(os.fsencode(path.name)[:200])
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{start}.", suffix=".part")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        os.chmod(temporary, _MODE)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise explain("write", path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data` to `path` atomically; on an error `path` stays as it was.

    Raises:
        FileError: it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def to_json(value: Any, *, readable: bool = False) -> str:
    """`value` as one line of JSON in ASCII, with null for NaN and infinity, which JSON does not have.

    Names that are not UTF-8 survive the round trip. NumPy's numbers and arrays are written as Python's, paths as text.

    Args:
        readable: write several lines, with characters beyond ASCII as they are.
    """
    text = json.dumps(
        _finite(value), indent=1 if readable else None, ensure_ascii=not readable, allow_nan=False, default=os.fspath
    )
    # Bytes that are not UTF-8 become escapes from which JSON restores them.
    return text.encode(errors="backslashreplace").decode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return _finite(value.tolist()) if hasattr(value, "tolist") else value


def write_json(path: Path, value: Any) -> None:
    """Writes `value` to `path` atomically as readable JSON; see `to_json`.

    Raises:
        FileError: it cannot be written.
    """
    write_bytes(path, to_json(value, readable=True).encode() + b"\n")


def write_csv(path: Path, rows: Iterable[Sequence[str | float]]) -> None:
    """Writes `rows` to `path` atomically as CSV in UTF-8.

    A text that a spreadsheet would evaluate as a formula gets an apostrophe before it, as OWASP advises ("CSV
    injection"). Bytes of names that are not UTF-8 are written as escapes such as `\\udcff`, a carriage return, which
    csv does not quote, as `\\r`.

    Raises:
        FileError: it cannot be written.
    """
    import csv

    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerows([_no_formula(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    write_bytes(path, table.getvalue().encode(errors="backslashreplace"))


def _no_formula(text: str) -> str:
    risky = text.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    return ("'" if risky else "") + text.replace("\r", "\\r")


def cell_text(cell: str) -> str:
    """The text of which `write_csv` has written `cell`; but for backslashes that were escapes already."""
    cell = cell.removeprefix("'") if cell.startswith("'") and _no_formula(cell[1:]) == cell else cell
    return re.sub(r"\\udc([89a-f][0-9a-f])", lambda found: chr(0xDC00 + int(found[1], 16)), cell)


def parse_json(text: str | bytes) -> Any:
    """The JSON value in `text`.

    Raises:
        ValueError: `text` is not JSON, or an object in it has a key twice.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_without_repeats)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(key for number, (key, _) in enumerate(pairs) if key in dict(pairs[:number]))
        raise ValueError(f"the key {repeated!r} occurs twice")
    return found


def read_json(path: Path) -> Any:
    """The JSON value in the file `path`.

    Raises:
        FileError: it is missing, unreadable or not JSON, or an object in it has a key twice.
    """
    try:
        return parse_json(path.read_bytes())
    except OSError as error:
        raise explain("read", path, error) from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} is not valid JSON ({error}). It may be damaged: restore it from a copy.") from error


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system can flush a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Waits until no other process holds the lock `path`, where the system has locks."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with contextlib.suppress(ImportError, OSError):  # Windows, and file systems without locks
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
