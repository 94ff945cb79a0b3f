"""From the name of a dataset to the dataset: "digits", "cifar10", "cifar100", or a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import numpy as np

from resnets.data.digits import digits
from resnets.data.folder import open_folder
from resnets.data.sources import Dataset, PixelSource
from resnets.errors import DataError

NAMES = ("digits", "digits/validation", "cifar10", "cifar100")


def open_dataset(source: str) -> Dataset:
    """The dataset called `source`, or else the one in the folder `source`.

    Raises:
        DataError: it is neither, or cannot be read.
    """
    if source in ("digits", "digits/validation"):
        return digits(validation=source != "digits")
    if source in ("cifar10", "cifar100"):
        return _cifar(source)
    if not Path(source).is_dir():
        raise DataError(
            f"There is no dataset or folder {source!r}. Give a folder that holds train/<class>/*.jpg and "
            f"val/<class>/*.jpg, or one of {', '.join(NAMES)}."
        )
    return open_folder(Path(source))


def cache_folder() -> Path:
    """Where downloads are kept: $RESNETS_CACHE, else resnets in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resnets"
    return Path(os.environ.get("RESNETS_CACHE") or default)


def _cifar(name: str) -> Dataset:
    """CIFAR-10 or CIFAR-100 (Krizhevsky 2009) through torchvision, downloaded on first use."""
    from torchvision import datasets

    cls = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    root = cache_folder()
    try:
        parts = [cls(str(root), train=train, download=True) for train in (True, False)]
    except Exception as error:  # torchvision lets through whatever its downloader, tar and pickle raise
        raise DataError(
            f"{name} is neither in {root} nor could it be downloaded ({error}). Put torchvision's copy there, "
            "or give --data a folder of pictures."
        ) from error
    train, test = (
        PixelSource(
            tuple(cast("list[str]", part.classes)),
            np.array(part.targets, np.int64),
            np.ascontiguousarray(cast("Any", part.data).transpose(0, 3, 1, 2)),
            f"{name} {split}",
        )
        for part, split in zip(parts, ("train", "test"), strict=True)
    )
    return Dataset(train, test)
