"""Datasets of the Hugging Face Hub by name, `hf:OWNER/NAME`, read by the library `datasets` where it is installed.

What its cache holds is read without the network; only what is not there is downloaded.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError, UsageError, not_installed
from resnets.modalities.base import Dataset, DatasetSplits, SplitName
from resnets.modalities.image.datasets.map_style import MapImages, read_pair
from resnets.modalities.table_cells import SPLIT_NAMES

PREFIX = "hf:"
_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?", re.ASCII)
_IMAGES = ("image", "img", "pixel_values")  # usual names of columns, for the choice among several
_LABELS = ("label", "labels", "fine_label", "class", "target")
_SWITCHES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")  # of `datasets.config`
_MODES = ("1", "L", "I;16")


class Rows:
    """The rows of one split as pairs of an image and a class."""

    def __init__(self, rows: Any, image: str, label: str) -> None:
        self._rows = rows
        self._image, self._label = image, label

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        row = self._rows[index]
        return row[self._image], row[self._label]


def open_hub(name: str) -> DatasetSplits:
    """The splits of the dataset `name`, such as "OWNER/NAME".

    Raises:
        UsageError: the library is not installed, or it is no name of a dataset.
        DataError: the dataset is neither in the cache nor can be downloaded, or has no images with classes.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise UsageError(f"hf:{name} is no name of the Hub: give hf:OWNER/NAME.")
    parts = _load(name)
    by_split: dict[SplitName, Any] = {}
    for own, part in parts.items():
        split = SPLIT_NAMES.get(str(own))
        if split is not None and split not in by_split:
            by_split[split] = part
    left_out = [str(own) for own, part in parts.items() if all(part is not each for each in by_split.values())]
    if "train" not in by_split:
        raise DataError(f"hf:{name} has no split train, only {', '.join(map(str, parts))}.")
    image, label, names = _columns(by_split["train"].features, name)
    found: dict[SplitName, Dataset] = {}
    classes = names
    for split in ("train", "val", "test"):
        if split not in by_split:
            continue
        values = list(by_split[split][label])
        if not names:
            _refuse_other_labels(values, f"hf:{name} ({split})")
        if not classes:
            classes = tuple(sorted({str(value) for value in values}))
        found[split] = MapImages(
            Rows(by_split[split], image, label),
            classes,
            _numbers(values, classes, bool(names), f"hf:{name} ({split})"),
            f"{name} {split}",
            is_pair=True,
            contents=_contents(by_split[split], f"{name} {split}"),
        )
    notes = (f"hf:{name}: the splits {', '.join(left_out)} were left out.",) if left_out else ()
    first = read_pair(Rows(by_split["train"], image, label), 0, name, is_pair=True)[0]
    return DatasetSplits(found, color="L" if getattr(first, "mode", "") in _MODES else "RGB", notes=notes)


def _load(name: str) -> Mapping[str, Any]:
    """The splits as the library reads them, first without the network."""
    try:
        import datasets
    except ImportError:
        raise not_installed(f"Reading hf:{name} needs datasets", extra="hub") from None
    with contextlib.suppress(Exception), _offline(datasets):  # where it is not in the cache, nearly anything is raised
        return dict(datasets.load_dataset(name, download_config=datasets.DownloadConfig(local_files_only=True)))
    try:
        return dict(datasets.load_dataset(name))
    except Exception as error:
        raise DataError(
            f"hf:{name} is neither in the cache of datasets nor could it be downloaded "
            f"({type(error).__name__}: {error}). "
            f"Where there is a network: hf download {name} --repo-type dataset. $HF_HOME says where the cache is."
        ) from error


@contextlib.contextmanager
def _offline(library: Any) -> Iterator[None]:
    """Context manager in which the library does not use the network, where it has switches for that."""
    settings = getattr(library, "config", None)
    before = {name: getattr(settings, name) for name in _SWITCHES if hasattr(settings, name)}
    try:
        for name in before:
            setattr(settings, name, True)
        yield
    finally:
        for name, value in before.items():
            setattr(settings, name, value)


def _columns(features: Mapping[str, Any], name: str) -> tuple[str, str, tuple[str, ...]]:
    """The column of images, that of classes, and the names of the classes where the dataset has them.

    Raises:
        DataError: there is no column of images or of classes, or it is not clear which.
    """
    kinds = {column: type(feature).__name__ for column, feature in features.items()}
    image = _choice([column for column, kind in kinds.items() if kind == "Image"], _IMAGES)
    labels = [column for column, kind in kinds.items() if kind == "ClassLabel"]
    label = _choice(labels or [column for column in _LABELS if column in kinds], _LABELS)
    if image is None or label is None:
        shown = ", ".join(f"{column} ({kind})" for column, kind in kinds.items())
        raise DataError(f"hf:{name} has no one column of images and no one of classes, only {shown}.")
    return image, label, tuple(getattr(features[label], "names", None) or ())


def _choice(found: list[str], usual: tuple[str, ...]) -> str | None:
    """The only one of `found`, else the first of the usual names among them."""
    return found[0] if len(found) == 1 else next((name for name in usual if name in found), None)


def _refuse_other_labels(values: list[Any], where: str) -> None:
    """Raises DataError where a label is neither a whole number nor a text, such as a list of several."""
    for number, value in enumerate(values):
        if not isinstance(value, int | str) or (isinstance(value, str) and not value.strip()):
            raise DataError(
                f"{where}: sample {number} has the label {value!r:.60}: labels are whole numbers or names of classes."
            )


def _numbers(values: list[Any], classes: tuple[str, ...], numbered: bool, where: str) -> NDArray[np.int64]:
    known = {name: number for number, name in enumerate(classes)}
    labels = [int(value) if numbered and isinstance(value, int) else known.get(str(value), -1) for value in values]
    found = np.array(labels, np.int64)
    if not len(found):
        raise DataError(f"{where} has no samples.")
    if found.min() < 0 or found.max() >= len(classes):
        number = int(np.flatnonzero((found < 0) | (found >= len(classes)))[0])
        raise DataError(f"{where}: sample {number} has the label {values[number]!r}, which is none of train's classes.")
    return found


def _contents(rows: Any, title: str) -> tuple[bytes, ...]:
    """Names of the samples for a hash over the data, with the library's own fingerprint of the split."""
    own = str(getattr(rows, "_fingerprint", ""))
    return tuple(f"{title} {index} {own}\0".encode() for index in range(len(rows)))
