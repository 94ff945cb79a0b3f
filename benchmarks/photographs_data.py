"""The data of `photographs.py`: folders of train/CLASS and test/CLASS, made of others' by links to their files.

No image is written twice: a file of the same disk is linked, another is copied.
"""

from __future__ import annotations

import csv
import os
import shutil
import string
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

FEW = 20  # training images a class


class Sample(NamedTuple):
    path: Path
    label: str
    split: str


def samples_of(data: Path) -> list[Sample]:
    """The samples of a table with the columns path, label and split, or of a folder of splits, by name."""
    if data.is_file():
        with open(data, newline="") as file:
            rows = [Sample(data.parent / row["path"], row["label"], row["split"]) for row in csv.DictReader(file)]
    else:
        rows = [
            Sample(path, path.parent.name, split)
            for split in ("train", "val", "test")
            for path in (data / split).glob("*/*")
        ]
    return sorted(rows, key=lambda each: (each.split, each.label, each.path.name))


def write(samples: Iterable[Sample], folder: Path) -> Path:
    """`folder` with a file for each sample, as folder/SPLIT/CLASS/NAME; one that exists is left as it is."""
    if folder.exists():
        return folder
    making = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    for sample in samples:
        place = making / sample.split / sample.label / sample.path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(sample.path.resolve(), place)
        except OSError:
            shutil.copyfile(sample.path, place)
    making.rename(folder)
    return folder


def few(samples: Iterable[Sample], count: int = FEW) -> list[Sample]:
    """The first `count` training images by name of each class, and all others that are not for training."""
    kept: list[Sample] = []
    seen: dict[str, int] = {}
    for sample in samples:
        if sample.split != "train":
            kept.append(sample)
        elif (number := seen.get(sample.label, 0)) < count:
            seen[sample.label] = number + 1
            kept.append(sample)
    return kept


def renamed(samples: Iterable[Sample]) -> list[Sample]:
    """`samples` with the classes a, b, c, ... in the order of their names, so that no weights know them by name."""
    samples = list(samples)
    letters = dict(zip(sorted({each.label for each in samples}), string.ascii_lowercase, strict=False))
    return [each._replace(label=letters[each.label]) for each in samples]


def of_classes(samples: Iterable[Sample], part: slice) -> list[Sample]:
    """Those of some of the classes, in the order of their names."""
    samples = list(samples)
    kept = set(sorted({each.label for each in samples})[part])
    return [each for each in samples if each.label in kept]


def long_tailed(samples: Iterable[Sample], ratio: float = 100.0) -> list[Sample]:
    """Training images that get fewer from class to class, down to one of `ratio`; the others are kept.

    The class of number i of C keeps n ratio^(-i / (C - 1)) images (Cui et al. 2019, 1901.05555, section 5.1), where n
    is the size of the smallest.
    """
    samples = list(samples)
    labels = sorted({each.label for each in samples})
    most = min(sum(each.label == label for each in samples if each.split == "train") for label in labels)
    kept = [each for each in samples if each.split != "train"]
    for number, label in enumerate(labels):
        count = max(1, round(most * ratio ** (-number / (len(labels) - 1))))
        kept += [each for each in samples if each.split == "train" and each.label == label][:count]
    return kept


def write_x_rays(archive: Path, folder: Path) -> Path:
    """The images of a MedMNIST archive with two classes as PNG files in `folder`/SPLIT/{normal,pneumonia}."""
    import numpy as np
    from PIL import Image

    if folder.exists():
        return folder
    making = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    with np.load(archive) as arrays:
        for split in ("train", "val", "test"):
            labels = arrays[f"{split}_labels"].ravel()
            for number, (pixels, label) in enumerate(zip(arrays[f"{split}_images"], labels, strict=True)):
                place = making / split / ("normal", "pneumonia")[int(label)] / f"{number:05}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(place)
    making.rename(folder)
    return folder
