"""The YAML file of a dataset for YOLO: the names of its classes, and where the images of each split lie."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from resnets.core.errors import DataError, not_installed
from resnets.core.typed import short
from resnets.modalities.base import SplitName
from resnets.modalities.table_cells import SPLIT_NAMES

ENDINGS = (".yaml", ".yml")
_NAMES = re.compile(rb"^[\"']?names[\"']?\s*:", re.MULTILINE)
_LARGEST = 2**20  # bytes


@dataclass(frozen=True)
class YOLOFile:
    """What the file says.

    Args:
        names: of the classes by number, rising.
        splits: the folders and lists of images of each split, as they stand.
        path: that they are relative to, as it stands; "" for the file's folder.
    """

    names: Mapping[int, str]
    splits: Mapping[SplitName, tuple[str, ...]]
    path: str


def yaml_files(path: Path) -> list[Path]:
    """The files in the folder `path`, or `path` itself, that name classes."""
    if path.is_file():
        return [path] if path.suffix.lower() in ENDINGS and _names_classes(path) else []
    if not path.is_dir():
        return []
    found = (Path(entry.path) for entry in os.scandir(path) if entry.name.lower().endswith(ENDINGS) and entry.is_file())
    return sorted(file for file in found if _names_classes(file))


def _names_classes(file: Path) -> bool:
    try:
        with open(file, "rb") as stream:
            return _NAMES.search(stream.read(_LARGEST)) is not None
    except OSError:
        return False


def read_yaml(file: Path) -> YOLOFile:
    """Reads the file.

    Raises:
        DataError: it is no YAML, has no names of classes, or something is of another kind.
        UsageError: PyYAML is not installed.
    """
    data = parse_yaml(file)
    if "kpt_shape" in data:
        raise DataError(f"{file} has kpt_shape: labels of poses are not read, only boxes and polygons.")
    splits: dict[SplitName, tuple[str, ...]] = {}
    for name, split in SPLIT_NAMES.items():
        value = data.get(name)
        if value is None or split in splits:
            continue
        places = value if isinstance(value, list) else [value]
        if not places or not all(isinstance(place, str) and place.strip() for place in places):
            raise DataError(
                f"{file}: {name} is a folder of images, a list of them (.txt), or several; not {short(value)}."
            )
        splits[split] = tuple(place.strip() for place in places)
    path = data.get("path")
    return YOLOFile(_names(file, data), splits, path.strip() if isinstance(path, str) else "")


def parse_yaml(file: Path) -> dict[Any, Any]:
    """The mapping in a YAML file.

    Raises:
        DataError: it is no YAML, or no mapping.
        UsageError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError:
        raise not_installed("Reading the YAML file of a dataset needs PyYAML", "detection") from None
    try:
        with open(file, "rb") as stream:
            data = stream.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise DataError(f"{file} has more than {_LARGEST >> 20} MiB, which is no YAML of a dataset.")
        found = yaml.safe_load(data)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # its messages have the line
        raise DataError(f"{file} is no YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(found, dict):
        raise DataError(f"{file} holds {short(found)}: the YAML of a dataset has names of classes.")
    return found


def _names(file: Path, data: Mapping[Any, Any]) -> dict[int, str]:
    """The names by number, of a list or of a mapping."""
    given = data.get("names")
    numbered = dict(enumerate(given)) if isinstance(given, list) else given
    if not isinstance(numbered, dict) or not numbered:
        raise DataError(f"{file}: names is a list of the classes, or their names by number, not {short(given)}.")
    found: dict[int, str] = {}
    for number, name in numbered.items():
        number = int(number) if isinstance(number, str) and number.isascii() and number.isdecimal() else number
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**31:
            raise DataError(f"{file}: names has the number {short(number)}, which is not a whole number from 0.")
        if isinstance(name, bool):  # YAML's own reading of no, yes, on and off
            raise DataError(f"{file}: the class {number} is {name} in YAML: write its name in quotes.")
        if not isinstance(name, str | int | float) or not str(name).strip():
            raise DataError(f"{file}: the class {number} has the name {short(name)}, which is no text.")
        if (text := str(name).strip()) in found.values():
            raise DataError(f"{file}: two classes are called {text}: give each a name of its own.")
        found[number] = text
    count = data.get("nc")
    if isinstance(count, int) and count != len(found) and count != max(found) + 1:
        raise DataError(f"{file}: nc is {count}, and there are {len(found)} names. Correct one of them.")
    return dict(sorted(found.items()))


def place_of(root: Path, given: YOLOFile, text: str) -> Path | None:
    """The folder or list `text` of the file in `root`; None where there is none of that name in it.

    Paths of another machine will do: leading folders that `root` does not have are dropped.
    """
    own = root.resolve().as_posix()
    for base in dict.fromkeys((given.path, "")):
        given_path = f"{base}/{text}" if base else text
        path = os.path.normpath(given_path.replace("\\", "/")).replace("\\", "/").removeprefix(f"{own}/")
        parts = [part for part in PurePosixPath(path).parts if part not in ("..", "/")]
        for count in range(len(parts)):
            if (found := root.joinpath(*parts[count:])).exists():
                return found
    return root if text in (".", "./") else None
