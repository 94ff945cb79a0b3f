"""Opens data: by name ("digits", "cifar10", "cifar100"), or a folder or file whose format is found by looking at it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from resnets.core.console import printable
from resnets.core.errors import DataError, UsageError, lookup
from resnets.core.urls import local_path
from resnets.modalities.audio.datasets.folder import looks_like_sounds, open_sounds
from resnets.modalities.base import NOUNS, DatasetSplits
from resnets.modalities.cache import cache_folder as cache_folder
from resnets.modalities.image.datasets.cifar import cifar
from resnets.modalities.image.datasets.coco import open_coco
from resnets.modalities.image.datasets.coco_files import looks_like_coco
from resnets.modalities.image.datasets.digits import digits
from resnets.modalities.image.datasets.folder import open_folder
from resnets.modalities.image.datasets.hub import PREFIX as HUB
from resnets.modalities.image.datasets.hub import open_hub
from resnets.modalities.image.datasets.listed_boxes import ListedBoxes, open_boxes
from resnets.modalities.image.datasets.mask_files import looks_like_masks
from resnets.modalities.image.datasets.masks import open_masks
from resnets.modalities.image.datasets.torchvision_names import PREFIX as TORCHVISION
from resnets.modalities.image.datasets.torchvision_names import open_torchvision, torchvision_folder
from resnets.modalities.image.datasets.voc import list_voc, looks_like_voc
from resnets.modalities.image.datasets.webdataset import looks_like_webdataset, open_webdataset
from resnets.modalities.image.datasets.yolo import list_yolo, looks_like_yolo
from resnets.modalities.in_memory import is_in_memory, registered
from resnets.modalities.mistaken_data import mistaken_data
from resnets.modalities.table_cells import SPLIT_NAMES
from resnets.modalities.tables import looks_like_tables, open_tables

NAMES = ("digits", "digits/validation", "cifar10", "cifar100")
_OF_OTHERS = (HUB, TORCHVISION)  # what names begin with of data that another library reads
# Folders that are no classes where another format fits too: those of other formats, and of splits, such as train2017.
_OF_OTHER_FORMATS = re.compile(
    r"images|masks|annotations|labels|jpegimages|imagesets|segmentation\w*|polygons|panoptic|semantic"
    rf"|({'|'.join(SPLIT_NAMES)})\d*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class DataFormat:
    """One way in which data lies on disk.

    Args:
        what: what `summary` says of the data, by its modality, or by that and its task.
        fits: whether the data in a folder or file looks like it; without reading much.
        open: its splits.
    """

    what: Mapping[str, str]
    fits: Callable[[Path], bool]
    open: Callable[[Path], DatasetSplits]


def open_dataset(data: str, format: str | None = None) -> DatasetSplits:
    """The splits of the dataset called `data`, or else of the folder or file `data`.

    Args:
        format: one of `FORMATS`; None finds it by looking. A folder that looks like none is read as class folders.

    Raises:
        DataError: there is no such dataset, folder or file, it cannot be read, or two formats fit.
        UsageError: there is no such format, or the data is a name.
    """
    chosen = None if format is None else lookup(FORMATS, format, "format of data")
    if is_in_memory(data):
        return registered(data)
    if data.startswith(_OF_OTHERS):
        if chosen is not None:
            raise UsageError(f"{data} is the name of a dataset, which has no format: leave out --format.")
        return _of_others(data)
    data = local_path(data, "data")
    if data in NAMES:
        if chosen is not None:
            raise UsageError(f"{data} is the name of a dataset, which has no format: leave out --format.")
        return digits(validation=data != "digits") if data.startswith("digits") else cifar(data, cache_folder())
    if not os.path.exists(data):
        raise DataError(
            f"There is no dataset or folder {data!r}. Give a folder of class folders, <class>/*.jpg, or one "
            f"with train/, val/ and test/ that hold such folders, a table (.csv or .jsonl), torchvision:NAME, "
            f"hf:OWNER/NAME, or one of {', '.join(NAMES)}."
        )
    if chosen is None and (reason := mistaken_data(Path(data))) and not is_file_of_data(Path(data)):
        raise DataError(reason)
    name = format or find_format(Path(data))
    return replace(FORMATS[name].open(Path(data)), format=name)


def _of_others(data: str) -> DatasetSplits:
    if data.startswith(HUB):
        return open_hub(data.removeprefix(HUB))
    return open_torchvision(data.removeprefix(TORCHVISION), torchvision_folder(cache_folder()))


def is_file_of_data(path: Path) -> bool:
    """Whether `path`, which by its ending may be something else, is data: a shard, or annotations in JSON."""
    return looks_like_webdataset(path) or (path.is_file() and looks_like_coco(path))


def is_name(data: str) -> bool:
    """Whether `data` is the name of a dataset and no path."""
    return data in NAMES or is_in_memory(data) or data.startswith(_OF_OTHERS)


def find_format(path: Path) -> str:
    """The name in `FORMATS` of the format that the data in `path` looks like.

    Raises:
        DataError: there is none for a file, or there are two.
    """
    found = [name for name, each in FORMATS.items() if name != "folders" and each.fits(path)]
    if not found and not path.is_dir():
        raise DataError(
            f"{path} is no table: it has not the ending .csv or .jsonl, nor what COCO's .json or YOLO's .yaml have. "
            "Give --format if it is one."
        )
    if found and FORMATS["folders"].fits(path):
        found.insert(0, "folders")
    if len(found) > 1:
        options = " or ".join(f"--format {name}" for name in found)
        raise DataError(f"{path} may be {' or '.join(found)}: give {options}.")
    return found[0] if found else "folders"


def summary(data: str, splits: DatasetSplits) -> str:
    """One line on what was opened, such as "data  photos: image folders, 10 classes, train 9,469, val 500".

    Args:
        data: as given to `open_dataset`.
    """
    train = splits.train
    if is_in_memory(data):
        data = f"{data[:19]}... (in memory)"
    what = what_is(splits.format, train.modality, train.task)
    parts = {name: each for name, each in splits.splits.items() if name != "all" or "train" not in splits.splits}
    counts = [f"{name} {len(each):,}" for name, each in parts.items()]
    return f"data  {printable(data)}: {', '.join([what, _classes(splits), *counts])}"


def what_is(format: str, modality: str, task: str = "") -> str:
    """What data of a format is called, such as "image folders"; of data by name, what its samples are."""
    if not format:
        return f"{NOUNS[modality]}s"
    names = FORMATS[format].what
    return names.get(f"{modality} {task}", names[modality])


def _classes(splits: DatasetSplits) -> str:
    train = splits.train
    if train.task == "regression":
        target = train.targets["target"]
        return f"target from {target.min():g} to {target.max():g}"
    count = f"{len(train.classes):,} class{'es' if len(train.classes) > 1 else ''}"
    return f"multi-label, {count}" if train.task == "multi-label" else count


def _open_folders(root: Path) -> DatasetSplits:
    return open_sounds(root) if root.is_dir() and looks_like_sounds(root) else open_folder(root)


def _open_boxes(list_boxes: Callable[[Path], ListedBoxes], format: str, path: Path) -> DatasetSplits:
    return open_boxes(list_boxes(path), format)


def _has_class_folders(root: Path) -> bool:
    """Whether `root` or its `train/` has two folders or more that may be classes, where another format fits too."""
    above = root / "train" if (root / "train").is_dir() else root
    if not above.is_dir():
        return False
    names = [entry.name for entry in os.scandir(above) if entry.is_dir() and any(os.scandir(entry.path))]
    return len([name for name in names if not name.startswith(".") and not _OF_OTHER_FORMATS.fullmatch(name)]) > 1


FORMATS: Mapping[str, DataFormat] = {
    "folders": DataFormat({"image": "image folders", "audio": "sound folders"}, _has_class_folders, _open_folders),
    "csv": DataFormat(
        {"image": "CSV table of images", "audio": "CSV table of sounds"},
        partial(looks_like_tables, format="csv"),
        partial(open_tables, format="csv"),
    ),
    "jsonl": DataFormat(
        {"image": "JSON lines table of images", "audio": "JSON lines table of sounds"},
        partial(looks_like_tables, format="jsonl"),
        partial(open_tables, format="jsonl"),
    ),
    "masks": DataFormat({"image": "images with masks"}, looks_like_masks, open_masks),
    "voc": DataFormat({"image": "images with boxes (VOC)"}, looks_like_voc, partial(_open_boxes, list_voc, "voc")),
    "coco": DataFormat(
        {"image": "images with boxes (COCO)", "image segmentation": "images with masks (COCO panoptic)"},
        looks_like_coco,
        open_coco,
    ),
    "yolo": DataFormat({"image": "images with boxes (YOLO)"}, looks_like_yolo, partial(_open_boxes, list_yolo, "yolo")),
    "webdataset": DataFormat({"image": "WebDataset shards"}, looks_like_webdataset, open_webdataset),
}
