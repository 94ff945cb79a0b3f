"""Files are written whole or not at all: temporary name, flush to disk, rename."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resnets.errors import FileError

_UMASK = os.umask(0)  # it can only be read by setting it, and that only while there is one thread
os.umask(_UMASK)
_MODE = 0o666 & ~_UMASK


def explain(action: str, path: Path, error: OSError) -> FileError:
    """The error a person can act on for a failed read or write of `path`."""
    reason = (error.strerror or str(error)).lower()
    return FileError(f"Cannot {action} {path}: {reason}.")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`; on success it becomes `path`, on any error it is gone.

    After this returns, a power cut leaves either the old file or the new one, each whole.

    Raises:
        FileError: the disk is full, the folder is missing or not writable.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
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
    """Writes `data` as the whole of `path`, or leaves `path` as it was and raises `FileError`."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, or leaves `path` as it was and raises `FileError`."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    # File names need not be UTF-8; what of them is not becomes the escape from which JSON restores it.
    write_bytes(path, text.encode(errors="backslashreplace"))


def read_json(path: Path) -> Any:
    """The JSON value in `path`.

    Raises:
        FileError: it is missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise explain("read", path, error) from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} is not valid JSON ({error}). It may be damaged; restore it from a copy.") from error


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system can flush a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
