"""Data that a Python program has in memory: arrays with labels, or Datasets of torch. Runs know it by its content.

While a function works with such data it has a name, "memory:" with a SHA-256 over its images, labels and classes, under
which `modalities.catalog.open_dataset` finds it. A run records that name: resuming it needs the same data again.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError, UsageError
from resnets.modalities.base import Dataset, DatasetSplits, SplitName
from resnets.modalities.given import as_array
from resnets.modalities.image.datasets.map_style import MapImages, as_image, read_pair
from resnets.modalities.table_cells import SPLIT_NAMES

PREFIX = "memory:"
_TWICE = 8  # samples that are read twice, to find those that change
_REGISTERED: dict[str, DatasetSplits] = {}
_FORMS = (
    "Data in memory is a pair (images, labels), a map-style Dataset of torch whose samples are pairs of an image and a "
    'class, or these by split: {"train": ..., "val": ...}'
)


@contextlib.contextmanager
def in_memory(data: Any) -> Iterator[str]:
    """Context manager that gives the name under which `data` is found meanwhile.

    Raises:
        UsageError: it is of none of the forms that are read.
        DataError: a sample is no image, or has no class.
    """
    splits = _splits(data)
    name = PREFIX + _sha256(splits)
    before = _REGISTERED.get(name)
    _REGISTERED[name] = splits
    try:
        yield name
    finally:
        if before is None:
            _REGISTERED.pop(name, None)


def registered(name: str) -> DatasetSplits:
    """The data called `name`.

    Raises:
        DataError: it is not in memory now.
    """
    if name not in _REGISTERED:
        raise DataError(
            f"{name[: len(PREFIX) + 12]}... was in the memory of the program that trained on it. Give it again, in "
            "Python, as data: resnets.resume(RUN, data=...), and so evaluate and replay."
        )
    return _REGISTERED[name]


def require_same(name: str, recorded: str, run: object) -> None:
    """Raises DataError where data in memory is not what the run `run` began with.

    Args:
        name: of the data.
        recorded: what the run began with.
    """
    if name != recorded:
        began = "other data" if is_in_memory(recorded) else recorded
        raise DataError(f"This is not the data that {run} began with, but {began}: give the same images and labels.")


def is_in_memory(data: Any) -> bool:
    """Whether `data` is the name of data in memory."""
    return isinstance(data, str) and data.startswith(PREFIX)


def _splits(data: Any) -> DatasetSplits:
    if not isinstance(data, Mapping):
        data = {"all": data}
    elif not data:
        raise UsageError(f"{_FORMS}, not an empty mapping.")
    parts: dict[SplitName, Any] = {}
    for name, part in data.items():
        split: SplitName | None = "all" if name == "all" else SPLIT_NAMES.get(str(name))
        if split is None or split in parts:
            raise UsageError(f"The splits of data are train, val and test, not {name!r}.")
        parts[split] = part
    if "train" not in parts and list(parts) != ["all"]:
        raise UsageError("The data has no split train.")
    first = parts.get("train", parts.get("all"))
    given = getattr(first, "classes", None)
    read = {split: _read(part, split) for split, part in parts.items()}
    train = read.get("train", read.get("all"))
    assert train is not None
    classes, number = _classes(train.labels, given)
    splits: dict[SplitName, Dataset] = {}
    for split in ("train", "val", "test", "all"):
        if split not in read:
            continue
        found = read[split]
        strangers = [str(label) for label in found.labels if label not in number]
        if strangers:
            raise DataError(f"{split} has labels that train has not: {', '.join(sorted(set(strangers))[:8])}.")
        labels = np.array([number[label] for label in found.labels], np.int64)
        title = "image" if split == "all" else f"{split} image"
        splits[split] = MapImages(found.samples, classes, labels, title, found.is_pair, found.contents)
    grey = all(part.is_grey for part in read.values())
    return DatasetSplits(splits, color="L" if grey else "RGB")


@dataclass(frozen=True)
class _Split:
    """What one split has: its samples, and of each the label and the content.

    Args:
        is_grey: whether all images are.
        is_pair: whether samples are pairs of an image and a label.
    """

    samples: Any
    labels: list[int | str]
    contents: tuple[bytes, ...]
    is_grey: bool
    is_pair: bool


def _read(part: Any, split: str) -> _Split:
    """Reads each sample once, and the first ones twice."""
    samples, given, count = _opened(part, split)
    labels: list[int | str] = []
    contents: list[bytes] = []
    grey = True
    for index in range(count):
        name = f"{split} image {index}" if split != "all" else f"image {index}"
        found, own = read_pair(samples, index, name, is_pair=given is None)
        image = as_image(found, name)
        grey = grey and image.mode in ("1", "L", "I;16")
        contents.append(_content(image))
        labels.append(_label(own if given is None else given[index], name))
        if index < _TWICE and given is None:
            again, label = read_pair(samples, index, name, is_pair=True)
            if _content(as_image(again, name)) != contents[-1] or _label(label, name) != labels[-1]:
                raise DataError(
                    f"{name} is another one each time it is read: give the Dataset without random transforms, as the "
                    "recipe augments images by itself."
                )
    return _Split(samples, labels, tuple(contents), grey, given is None)


def _opened(part: Any, split: str) -> tuple[Any, Sequence[Any] | None, int]:
    """The samples, the labels where they are apart, and the number of samples.

    Raises:
        UsageError: `part` is of none of the forms that are read.
    """
    if isinstance(part, tuple | list) and len(part) == 2 and not _is_pair_of_sample(part):
        images, labels = part
        array = as_array(images)
        samples = images if array is None else array
        if array is not None and array.ndim not in (3, 4):
            raise UsageError(
                f"The images of {split} are an array of 3 dimensions (N, height, width) or 4, not of the shape "
                f"{array.shape}."
            )
        numbers = as_array(labels)
        values: Any = numbers.tolist() if numbers is not None else labels
        if numbers is not None and numbers.ndim != 1:
            raise UsageError(f"The labels of {split} are one for each image, not of the shape {numbers.shape}.")
        if not isinstance(values, Sequence) or isinstance(values, str):
            values = np.asarray(labels).tolist() if hasattr(labels, "__array__") else None
        if not hasattr(samples, "__len__") or not hasattr(samples, "__getitem__") or values is None:
            raise UsageError(f"{_FORMS}.")
        if len(samples) != len(values):
            raise UsageError(f"{split} has {len(samples):,} images and {len(values):,} labels.")
        count = len(values)
        found: tuple[Any, Sequence[Any] | None, int] = samples, values, count
    elif hasattr(part, "__getitem__") and hasattr(part, "__len__") and not isinstance(part, str | bytes):
        found = part, None, len(part)
    else:
        raise UsageError(f"{_FORMS}, not {type(part).__name__}.")
    if not found[2]:
        raise DataError(f"{split} holds no images.")
    return found


def _is_pair_of_sample(part: Any) -> bool:
    """Whether a list of two things is a Dataset of two samples, each a pair, rather than images and labels."""
    return isinstance(part, list) and all(isinstance(each, tuple) and len(each) == 2 for each in part)


def _label(value: Any, name: str) -> int | str:
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int) or (isinstance(value, str) and value.strip()):
        return value
    raise DataError(f"{name} has the label {value!r:.60}: labels are whole numbers or names of classes.")


def _classes(labels: Sequence[int | str], given: Any) -> tuple[tuple[str, ...], dict[int | str, int]]:
    """The names of the classes, and the number of each label among them.

    Args:
        given: the `classes` of a Dataset, names by label, as those of torchvision have it.

    Raises:
        DataError: labels are of both kinds.
    """
    kinds = {type(label) for label in labels}
    if len(kinds) > 1:
        raise DataError("Labels are whole numbers or names of classes, and these are both.")
    numbers = [label for label in labels if isinstance(label, int)]
    named = isinstance(given, list | tuple) and all(isinstance(name, str) for name in given)
    if numbers and named and min(numbers) >= 0 and max(numbers) < len(given) and len(set(given)) == len(given):
        return tuple(given), {number: number for number in range(len(given))}
    known = sorted(set(labels))  # type: ignore[type-var]
    return tuple(map(str, known)), {label: number for number, label in enumerate(known)}


def _content(image: Any) -> bytes:
    """16 bytes of a hash over the pixels."""
    digest = hashlib.sha256(f"{image.mode} {image.size}\0".encode())
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    digest.update(image.tobytes())
    return digest.digest()[:16]


def _sha256(splits: DatasetSplits) -> str:
    digest = hashlib.sha256(b"memory 1\0")
    for name, dataset in splits.splits.items():
        labels: NDArray[Any] = dataset.targets["labels"]
        digest.update(f"{name} {len(dataset)}\0".encode() + labels.astype("<i8").tobytes())
        digest.update("\0".join(dataset.classes).encode(errors="surrogateescape") + b"\0")
        for index in range(len(dataset)):
            digest.update(dataset.fingerprint(index))
    return digest.hexdigest()
