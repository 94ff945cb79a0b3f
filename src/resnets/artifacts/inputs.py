"""What a user gives a model to answer: files, folders and globs."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from resnets.core.console import note
from resnets.core.errors import DataError
from resnets.core.urls import local_path
from resnets.modalities.inputs import AnyInput
from resnets.modalities.listing import KINDS, Listing

_CHUNK = 65_536  # bytes


@dataclass(frozen=True)
class ListedPath(os.PathLike[str]):
    """A path that a program has listed: of a file or a folder, and never a glob."""

    path: str

    def __fspath__(self) -> str:
        return self.path


def listed_paths(stream: BinaryIO) -> Iterator[ListedPath]:
    """The paths in a list, such as one on standard input, as they come.

    They are separated by NUL, as `find -print0` writes them, where one is among the first bytes, else by line breaks
    (of Windows, too). Empty ones are passed over.
    """
    rest, separator = b"", b""
    while chunk := stream.read(_CHUNK):
        separator = separator or (b"\0" if b"\0" in chunk else b"\n")
        *whole, rest = (rest + chunk).split(separator)
        yield from _paths(whole, separator)
    yield from _paths([rest], separator)


def _paths(names: Sequence[bytes], separator: bytes) -> Iterator[ListedPath]:
    for each in names:
        if name := each.removesuffix(b"\r") if separator == b"\n" else each:
            yield ListedPath(os.fsdecode(name))


def expand(inputs: Sequence[Any], settings: AnyInput) -> list[Any]:
    """`inputs` with each folder replaced by the files in it and below it, and each glob by what it matches, sorted.

    A path that exists is never a glob. What is no path, such as an image in memory, stays as it is, and so does a path
    that does not exist, which is an error when it is read. Paths in lists are inputs of their own.

    Args:
        settings: of the model's input, whose modality decides which files of a folder are inputs.

    Raises:
        DataError: a folder has no such file, or a glob matches nothing.
        UsageError: an input is a URL.
    """
    found: list[Any] = []
    for each in inputs:
        given = local_path(each, f"each {settings.noun}")
        if isinstance(given, list | tuple) and all(isinstance(each, str | os.PathLike) for each in given):
            found += expand(given, settings)
        elif not isinstance(given, str | os.PathLike):
            found.append(given)
        elif os.path.isdir(given):
            found += _files_of(given, settings)
        elif isinstance(given, ListedPath):
            found.append(given.path)
        elif not os.path.lexists(given) and glob.has_magic(os.fsdecode(given)):
            matches = sorted(glob.glob(os.fsdecode(given), recursive=True))
            files = [match for match in matches if not os.path.isdir(match)]
            files += [
                file
                for match in matches
                if os.path.isdir(match)
                for file in files_in(match, settings, notes=True, by_content=True)
            ]
            if not files:
                raise DataError(f"Nothing matches {given}: there is no {settings.noun} to predict.")
            found += files
        else:
            found.append(given)
    return found


def files_in(
    folder: str | os.PathLike[str], settings: AnyInput, *, notes: bool = False, by_content: bool = False
) -> list[str]:
    """The paths of the files in a folder and below it that are inputs of `settings`, by their endings, sorted.

    Args:
        notes: whether a note says what was left out.
        by_content: whether files that are inputs by their first bytes are taken too, whatever they are called.

    Raises:
        DataError: the folder cannot be listed.
    """
    listing = Listing(Path(folder), KINDS[settings.modality], by_content=by_content)
    found = sorted(os.path.join(folder, os.fsdecode(name)) for name in listing.files())
    if notes:
        note(*listing.notes(classes=False))
    return found


def _files_of(folder: str | os.PathLike[str], settings: AnyInput) -> list[str]:
    files = files_in(folder, settings, notes=True, by_content=True)
    if not files:
        raise DataError(f"There are no {settings.noun}s in {folder}, nor in the folders in it.")
    return files
