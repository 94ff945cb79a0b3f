"""Lists a folder of classes: its files of one kind, such as images, and for the notes what is left out.

Files are known by their names. None is opened, but for one of each ending that is left out, whose first bytes may say
that it is of the kind. Links to folders are followed, but no folder is listed twice for one class, so that links to a
folder above, or in a circle, end. Pipes, sockets and devices are left out: opening a pipe would block.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from resnets.core.errors import DataError
from resnets.modalities.file_signatures import kind_of_content
from resnets.modalities.image.read.pillow import ENDINGS

_SHOWN = 8
_SHOWN_ENDINGS = 16


@dataclass(frozen=True)
class FileKind:
    """Files of one modality, recognised by the ending of their names.

    Args:
        plural: what messages call them.
        usual: the usual ending, for messages.
        endings: in lower case, such as ".jpg".
    """

    plural: str
    usual: str
    endings: frozenset[str]

    def has(self, name: str) -> bool:
        """Whether a file called `name` is one."""
        return os.path.splitext(name)[1].lower() in self.endings


IMAGES = FileKind("images", ".jpg", ENDINGS)
SOUNDS = FileKind("recordings", ".wav", frozenset({".wav", ".wave", ".flac", ".ogg", ".oga", ".opus"}))
KINDS = {"image": IMAGES, "audio": SOUNDS}  # by modality

Kind = Literal["folder", "link to a folder", "file", "dangling link", "special file"]


@dataclass
class Named:
    """Counts names and keeps the first few in alphabetical order, or all."""

    count: int = 0
    first: list[str] = field(default_factory=list)
    most: int = _SHOWN

    def add(self, name: str) -> None:
        self.count += 1
        insort(self.first, name)
        del self.first[self.most :]

    def __str__(self) -> str:
        more = self.count - len(self.first)
        return ", ".join(self.first) + (f" and {more:,} more" if more else "")


class Listing:
    """The folder `root`, whose folders are classes.

    Args:
        kind: the files that are listed.
        by_content: whether files that are of the kind by their first bytes are listed too, whatever their name. (Data
            for training is listed by name, so that a run finds what it began with.)
        every_name: whether all names of what is left out are kept, not only the first ones.

    Attributes:
        classes: the names of its folders and links to folders, sorted.
        loose: files of the kind in `root` itself, which belong to no class.
        hidden, other, dangling, special, repeated: what `files` and the constructor left out, by its path from `root`:
            hidden folders; files without an ending of the kind; dangling links; pipes, sockets and devices; links
            to folders that had been read already.
        mixed: those of `other` that are of another one of `KINDS`.
        invisible: files of the kind and folders below the classes whose names hide them.

    Raises:
        DataError: a folder cannot be listed.
    """

    def __init__(
        self, root: Path, kind: FileKind = IMAGES, *, by_content: bool = False, every_name: bool = False
    ) -> None:
        self.root = root
        self.kind = kind
        self._by_content = by_content
        self._by_ending: dict[str, Named] = {}
        most = sys.maxsize if every_name else _SHOWN
        self.mixed, self.invisible = Named(most=most), Named(most=most)
        self.loose, self.hidden, self.other = Named(most=most), Named(most=most), Named(most=most)
        self.dangling, self.special, self.repeated = Named(most=most), Named(most=most), Named(most=most)
        real = Path(os.path.realpath(root))
        self._above = {str(real), *map(str, real.parents)}
        classes: list[str] = []
        for entry, what in _entries(str(root)):
            if what in ("folder", "link to a folder"):
                if _is_visible(entry.name):
                    classes.append(entry.name)
                else:
                    self.hidden.add(entry.name)
            elif _is_visible(entry.name):
                if what == "file" and kind.has(entry.name):
                    self.loose.add(entry.name)
                elif what != "file":
                    self._leave_out(entry.name, what)
        self.classes = tuple(sorted(classes))

    def files(self, name: str = "") -> list[bytes]:
        """The files of the kind in the folder `name` of `root` and in the folders below it, sorted.

        Returns:
            Paths from `root` with forward slashes, as the file system's bytes; without `name`, those of all of `root`.
        """
        start = os.path.join(self.root, name) if name else str(self.root)
        read = set(self._above)
        if not name:
            read.discard(os.path.realpath(start))
        folders = [(start, name, os.path.realpath(start))]
        links: list[tuple[str, str]] = []
        found: list[bytes] = []
        while folders or links:
            if folders:
                path, relative, real = folders.pop()
            else:  # after all folders, so that which link is a repetition does not depend on their order
                links.sort(reverse=True)
                relative, path = links.pop()
                real = os.path.realpath(path)
            if real in read:
                self.repeated.add(relative)
                continue
            read.add(real)
            for entry, what in _entries(path):
                below = f"{relative}/{entry.name}" if relative else entry.name
                if not _is_visible(entry.name):
                    if relative and (what == "folder" or self.kind.has(entry.name)):
                        self.invisible.add(below)
                    continue
                if what == "folder":
                    folders.append((entry.path, below, os.path.join(real, entry.name)))
                elif what == "link to a folder":
                    links.append((below, entry.path))
                elif what == "file" and (self.kind.has(entry.name) or (self._by_content and self._is_one(below))):
                    found.append(os.fsencode(below))
                elif relative or what == "file":  # the constructor has counted what else is in the root itself
                    self._leave_out(below, what)
        found.sort()
        return found

    def notes(self, *, classes: bool = True) -> list[str]:
        """A line for each kind of entry that was left out so far.

        Args:
            classes: whether `root` is a folder of classes, not of files of the kind.
        """
        parts, plural = "train" in self.classes, self.kind.plural
        beside = "beside train/, in no split" if parts else "beside the class folders, in no class"
        kinds = (
            (Named() if parts else self.hidden, "hidden folders are not classes and were left out: {names}."),
            (self.loose, f"{plural} {beside}, were left out ({{count:,}}): {{names}}."),
            (self.other, f"files that are not {plural} were left out ({{count:,}}), such as {{example}}."),
            (self.dangling, "links that lead nowhere were left out ({count:,}): {names}."),
            (self.special, "pipes, sockets and devices were left out ({count:,}): {names}."),
            (self.repeated, "links to folders that were read already were not followed ({count:,}): {names}."),
        )
        return [
            f"{self.root}: {text.format(count=names.count, names=names, example=names.first[0])}"
            for names, text in kinds[0 if classes else 2 :]
            if names.count
        ] + self._notes_on_endings()

    def _notes_on_endings(self) -> list[str]:
        """A line for each ending of files that were left out and are of the kind by the first bytes of one of them."""
        lines = []
        for ending, names in sorted(self._by_ending.items())[:_SHOWN_ENDINGS]:
            content = kind_of_content(os.path.join(self.root, names.first[0]))
            if content is not None and KINDS[content[0]] is self.kind:
                called = f"called {ending}" if ending else "without an ending"
                lines.append(
                    f"{self.root}: files {called}, such as {names.first[0]}, are {self.kind.plural} by their content, "
                    f"and only those with a usual ending are taken. To take them ({names.count:,}), rename them: "
                    f"{rename_command(self.root, ending, content[1])}"
                )
        return lines

    def _is_one(self, relative: str) -> bool:
        content = kind_of_content(os.path.join(self.root, relative))
        return content is not None and KINDS[content[0]] is self.kind

    def _leave_out(self, relative: str, what: Kind) -> None:
        names = {"dangling link": self.dangling, "special file": self.special}.get(what, self.other)
        names.add(relative)
        if names is self.other:
            self._by_ending.setdefault(os.path.splitext(relative)[1].lower(), Named()).add(relative)
        if names is self.other and any(kind.has(relative) for kind in KINDS.values()):
            self.mixed.add(relative)


def rename_command(root: Path, old: str, new: str) -> str:
    """The command that gives all files below `root` with the ending `old` (empty: with none) the ending `new`."""
    if os.name == "nt":
        which = f"-Filter *{old}" if old else "-File | Where-Object Extension -eq ''"
        return f"Get-ChildItem -Recurse '{root}' {which} | Rename-Item -NewName {{ $_.BaseName + '{new}' }}"
    which = f"-iname {shlex.quote('*' + old)}" if old else "! -name '*.*'"
    stem = "${1%.*}" if old else "$1"
    return f"""find {shlex.quote(str(root))} -type f {which} -exec sh -c 'mv -n "$1" "{stem}{new}"' _ {{}} ';'"""


def first_kind(root: Path) -> FileKind | None:
    """The kind of the first file below `root` that is of one of `KINDS`, by alphabet; None where there is none.

    Raises:
        DataError: a folder cannot be listed.
    """
    read: set[str] = set()
    folders = [str(root)]
    while folders:
        path = folders.pop()
        real = os.path.realpath(path)
        if real in read:
            continue
        read.add(real)
        below: list[str] = []
        for entry, what in sorted(_entries(path), key=lambda each: each[0].name):
            if not _is_visible(entry.name):
                continue
            if what in ("folder", "link to a folder"):
                below.append(entry.path)
            elif what == "file":
                # Loose files of a folder of classes say nothing of its kind.
                for kind in KINDS.values() if path != str(root) else ():
                    if kind.has(entry.name):
                        return kind
        folders += reversed(below)
    return None


def _entries(folder: str) -> Iterator[tuple[os.DirEntry[str], Kind]]:
    """The entries of `folder`, in any order."""
    try:
        with os.scandir(folder) as entries:
            yield from ((entry, _kind(entry)) for entry in entries)
    except OSError as error:
        raise DataError(f"Cannot list {folder}: {(error.strerror or str(error)).lower()}.") from error


def _kind(entry: os.DirEntry[str]) -> Kind:
    try:
        if entry.is_file(follow_symlinks=False):  # known without another system call
            return "file"
        # Junctions are Windows' own links to folders; before Python 3.12 they cannot be distinguished from folders.
        if entry.is_dir(follow_symlinks=False) and not getattr(entry, "is_junction", bool)():
            return "folder"
        mode = entry.stat().st_mode
    except OSError:  # its target is gone, or it leads to itself
        return "dangling link"
    if stat.S_ISDIR(mode):
        return "link to a folder"
    return "file" if stat.S_ISREG(mode) else "special file"


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name not in ("__MACOSX", "__pycache__")
