"""Datasets of torchvision by name, such as `torchvision:Flowers102`, read and downloaded by its own classes.

Listed are those whose samples are pairs of an image and a class. Copies are looked for, and put, in the folder
`torchvision` of the cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.core.errors import DataError, lookup
from resnets.modalities.base import Dataset, DatasetSplits, SplitName
from resnets.modalities.image.datasets.map_style import MapImages, as_image, read_pair

PREFIX = "torchvision:"
Splits = Mapping[SplitName, Mapping[str, Any]]

_BY_FLAG: Splits = {"train": {"train": True}, "test": {"train": False}}
_TRAIN_TEST: Splits = {"train": {"split": "train"}, "test": {"split": "test"}}
_THREE: Splits = {"train": {"split": "train"}, "val": {"split": "val"}, "test": {"split": "test"}}
_WHOLE: Splits = {"all": {}}
_TRAIN_VAL: Splits = {"train": {"split": "train"}, "val": {"split": "val"}}

# The arguments of the class for each split.
NAMES: Mapping[str, Splits] = {
    "CIFAR10": _BY_FLAG,
    "CIFAR100": _BY_FLAG,
    "Caltech101": _WHOLE,
    "Caltech256": _WHOLE,
    "Country211": {"train": {"split": "train"}, "val": {"split": "valid"}, "test": {"split": "test"}},
    "DTD": _THREE,
    "EuroSAT": _WHOLE,
    "FER2013": _TRAIN_TEST,
    "FGVCAircraft": _THREE,
    "FashionMNIST": _BY_FLAG,
    "Flowers102": _THREE,
    "Food101": _TRAIN_TEST,
    "GTSRB": _TRAIN_TEST,
    "ImageNet": _TRAIN_VAL,
    "Imagenette": _TRAIN_VAL,
    "KMNIST": _BY_FLAG,
    "MNIST": _BY_FLAG,
    "OxfordIIITPet": {"train": {"split": "trainval"}, "test": {"split": "test"}},
    "PCAM": _THREE,
    "QMNIST": _BY_FLAG,
    "RenderedSST2": _THREE,
    "SEMEION": _WHOLE,
    "STL10": _TRAIN_TEST,
    "SUN397": _WHOLE,
    "SVHN": _TRAIN_TEST,
    "StanfordCars": _TRAIN_TEST,
    "USPS": _BY_FLAG,
}
_NOT_DOWNLOADED = ("FER2013", "ImageNet", "StanfordCars")  # torchvision has no address of them
_LABELS = ("targets", "labels", "_labels", "y")  # attributes that hold one class for each sample
_NAMES = ("classes", "categories")


def open_torchvision(name: str, root: Path) -> DatasetSplits:
    """The dataset `name` of torchvision in the folder `root`, downloaded on first use.

    Raises:
        UsageError: torchvision has no such dataset of images with one class each.
        DataError: it is not there and cannot be downloaded, or is not as torchvision reads it.
    """
    splits = lookup(NAMES, name, "dataset of torchvision")
    from torchvision import datasets

    cls = getattr(datasets, name, None)
    if cls is None:
        raise DataError(f"This version of torchvision has no {name}: install a newer one.")
    parts = {split: _part(cls, name, root, arguments) for split, arguments in splits.items()}
    found: dict[SplitName, Dataset] = {}
    classes: tuple[str, ...] = ()
    for split, part in parts.items():
        labels, names = _labels(part, f"{name} {split}"), _classes(part)
        classes = classes or names or tuple(map(str, range(int(labels.max()) + 1)))
        if labels.min() < 0 or labels.max() >= len(classes):
            raise DataError(f"{name} has labels beyond its {len(classes)} classes in {split}.")
        found[split] = MapImages(
            part, classes, labels, f"{name} {split}", is_pair=True, contents=_contents(part), one_at_a_time=False
        )
    return DatasetSplits(found, color="L" if _is_grey(found) else "RGB")


def _part(cls: Any, name: str, root: Path, arguments: Mapping[str, Any]) -> Any:
    """One split, from the files in `root`, or downloaded into it.

    Raises:
        DataError: neither is possible.
    """
    takes_download = name not in _NOT_DOWNLOADED
    folder = str(root / "imagenet") if name == "ImageNet" else str(root)
    local = {**arguments, "download": False} if takes_download else dict(arguments)
    try:
        return cls(folder, **local)
    except Exception as error:  # RuntimeError and OSError of missing files, and what damaged ones raise
        reason = error
    if takes_download:
        try:
            root.mkdir(parents=True, exist_ok=True)
            with contextlib.redirect_stdout(sys.stderr):  # where it may report progress
                return cls(folder, **{**arguments, "download": True})
        except Exception as error:  # what downloaders and archives raise
            reason = error
    how = "and could not be downloaded" if takes_download else "and torchvision downloads it from nowhere"
    short = " ".join(str(reason).split())[:200]
    where = f"torchvision's {name} is not in {folder}, {how} ({type(reason).__name__}: {short})."
    raise DataError(
        f"{where} Put a copy there as torchvision lays it out ($RESNETS_CACHE chooses the folder), or give --data a "
        "folder of images."
    )


def _labels(part: Any, title: str) -> NDArray[np.int64]:
    """(N,) the class of each sample, from an attribute of the dataset, checked on some samples; else from all."""
    count = len(part)
    pairs = getattr(part, "_samples", None)
    candidates = [getattr(part, attribute, None) for attribute in _LABELS]
    if isinstance(pairs, list) and all(isinstance(pair, tuple) for pair in pairs):
        candidates.append([pair[-1] for pair in pairs])
    for values in candidates:
        with contextlib.suppress(TypeError, ValueError):
            labels = np.asarray(values)
            if labels.shape == (count,) and labels.dtype.kind in "iu":
                some = {0, count // 2, count - 1}
                if all(int(read_pair(part, index, title, is_pair=True)[1]) == labels[index] for index in some):
                    return labels.astype(np.int64)
    return np.array([int(read_pair(part, index, f"{title} {index}", is_pair=True)[1]) for index in range(count)])


def _classes(part: Any) -> tuple[str, ...]:
    """The names of the classes; empty where the dataset does not say them. Of several names of one, the first."""
    for attribute in _NAMES:
        names = getattr(part, attribute, None)
        if isinstance(names, list | tuple) and names:
            return tuple(str(name[0] if isinstance(name, tuple) else name) for name in names)
    return ()


def _contents(part: Any) -> tuple[bytes, ...] | None:
    """What stands for each sample in a hash over the data: its pixels, where the dataset has all in an array.

    Of other datasets samples are known by their numbers, as torchvision checks the archives that it reads.
    """
    data: Any = getattr(part, "data", None)
    array = data.numpy() if hasattr(data, "numpy") else data
    if not isinstance(array, np.ndarray) or len(array) != len(part):
        return None
    return tuple(hashlib.sha256(array[index].tobytes()).digest()[:16] for index in range(len(array)))


def _is_grey(found: Mapping[SplitName, Dataset]) -> bool:
    """Whether the first sample of each split is grey: in these datasets all samples are of one kind."""
    return all(
        as_image(read_pair(each.samples, 0, each.title, is_pair=True)[0], each.title).mode in ("1", "L")
        for each in found.values()
        if isinstance(each, MapImages)
    )


def torchvision_folder(cache: Path) -> Path:
    """Where copies of torchvision's datasets lie."""
    return Path(os.path.join(cache, "torchvision"))
