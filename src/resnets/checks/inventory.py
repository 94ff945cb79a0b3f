"""The samples of a dataset as they lie there, listed without refusing any: training would stop at the first fault."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.checks.problem import Problem
from resnets.modalities.base import Dataset, DatasetSplits, SplitName, whole
from resnets.modalities.image.datasets.annotations import Annotations

Label = str | float | tuple[str, ...] | None


@dataclass(frozen=True)
class Sample:
    """One sample.

    Args:
        name: its path relative to the root, or what it is called in memory.
        label: a class, several (of boxes, those that its image has), a number; None where it has none, as an image
            with a mask.
        group: what must not be divided between splits or folds; "" for none.
        fold: as the column `fold` of a table says; "" for none.
        place: where it is named, such as "train.csv, line 3"; "" for a file in a folder of its class.
        mask: the path of its mask, relative to the root; "" for none.
    """

    name: str
    split: SplitName
    label: Label = None
    group: str = ""
    fold: str = ""
    place: str = ""
    mask: str = ""


@dataclass
class Inventory:
    """What was found.

    Args:
        root: the folder of all files; of data in memory, its name.
        modality: "image" or "audio".
        samples: those whose files are there.
        problems: what the listing found.
        classes: the names in the order of train; empty for numbers as targets.
        class_paths: where the files of a class lie, by split and class; empty for tables.
        in_memory: the image of sample i, where samples are no files of their own.
        encoded: likewise the bytes of the file that it is decoded from, as in a shard; None where there are none.
        values: of masks, the name of the class by value; None where they are not known.
        mask: (H, W) values of the mask of sample i, where files hold other numbers than these.
        mask_counts: of masks, how many have each class.
        boxes: of images with boxes, what their annotations say; image i there is sample i here.
        task: that the data is for, where it is opened already.
        refusal: opens the data as training does, which raises what training would refuse.
    """

    root: Path
    format: str
    modality: str
    samples: list[Sample] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    class_paths: dict[tuple[SplitName, str], str] = field(default_factory=dict)
    in_memory: Callable[[int], Image.Image] | None = None
    encoded: Callable[[int], bytes | None] | None = None
    values: dict[int, str] | None = None
    mask: Callable[[int], NDArray[np.uint8]] | None = None
    mask_counts: dict[str, int] = field(default_factory=dict)
    boxes: Annotations | None = None
    task: str = ""
    refusal: Callable[[], Any] | None = None

    def path(self, index: int) -> str:
        """What messages call sample `index`: its path, or its name in memory."""
        return self.samples[index].name if self.in_memory else os.path.join(self.root, self.samples[index].name)

    def add(self, kind: str, path: str | Path, detail: str, *related: str, **more: Any) -> None:
        """Notes a problem of the listing."""
        self.problems.append(Problem(kind, str(path), detail, related, **more))

    @property
    def split_counts(self) -> dict[str, int]:
        """Samples by split, in the usual order."""
        found = Counter(sample.split for sample in self.samples)
        return {name: found[name] for name in ("train", "val", "test", "all") if found[name]}

    @property
    def has_masks(self) -> bool:
        """Whether samples have masks."""
        return any(sample.mask for sample in self.samples)

    @property
    def training_split(self) -> SplitName:
        """The split that is learnt from."""
        return "train" if any(sample.split == "train" for sample in self.samples) else "all"

    def counts(self, split: str | None = None) -> dict[str, int]:
        """What there is of each class, of one split or of all: masks that have it (of all splits alone), boxes, or else
        samples."""
        if self.has_masks:
            return self.mask_counts
        if self.boxes is None:
            return self.class_counts(split)
        of_split = np.array([split in (None, each.split) for each in self.samples], np.bool_)
        found = np.bincount(self.boxes.labels[of_split[self.boxes.image_of]], minlength=len(self.classes))
        return dict(zip(self.classes, found.tolist(), strict=True))

    def class_counts(self, split: str | None = None) -> dict[str, int]:
        """Samples by class, of one split or of all; a sample with several labels counts for each."""
        found = Counter(
            name for each in self.samples if split in (None, each.split) for name in labels_of(each.label)
        )  # fmt: skip
        return {name: found[name] for name in self.classes}


def labels_of(label: Label) -> tuple[str, ...]:
    """The classes of a label; none of a number."""
    return label if isinstance(label, tuple) else (label,) if isinstance(label, str) else ()


def from_splits(data: str, splits: DatasetSplits) -> Inventory:
    """The samples of data that is opened already, such as a dataset by name."""
    train = splits.train
    regression = "target" in train.targets
    classes = () if regression else train.classes
    found = Inventory(Path(data), splits.format, train.modality, classes=classes, task=train.task)
    places: list[tuple[Dataset, int]] = []
    for split, dataset in splits.splits.items():
        on_disk, labels = dataset.on_disk, _labels(dataset)
        for index in range(len(dataset)):
            name = os.fsdecode(on_disk[0].names[index]) if on_disk else dataset.name(index)
            name = os.path.relpath(on_disk[0].path(index), found.root) if on_disk else name
            found.samples.append(Sample(name, split, labels[index]))
            places.append((dataset, index))

    def image(number: int) -> Image.Image:
        dataset, index = whole(*places[number])
        decoded: Image.Image = dataset.image(index, "RGB")
        return decoded

    def encoded(number: int) -> bytes | None:
        dataset, index = places[number]
        return dataset.encoded(index)

    if not train.on_disk:
        found.in_memory, found.encoded = image, encoded
    return found


def _labels(dataset: Dataset) -> list[Label]:
    """The label of each sample."""
    targets, classes = dataset.targets, dataset.classes
    if "target" in targets:
        return [float(value) for value in targets["target"]]
    if "labels" not in targets:
        return [None] * len(dataset)
    values = targets["labels"]
    if values.ndim == 1:
        return [classes[int(value)] for value in values]
    return [tuple(classes[int(i)] for i in row.nonzero()[0]) for row in values]
