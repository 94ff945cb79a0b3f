"""Opens data by name: "digits", "cifar10", "cifar100", or a folder."""

from __future__ import annotations

import os
from pathlib import Path

from resnets.core.errors import DataError
from resnets.modalities.base import DatasetSplits
from resnets.modalities.image.datasets.cifar import cifar
from resnets.modalities.image.datasets.digits import digits
from resnets.modalities.image.datasets.folder import open_folder

NAMES = ("digits", "digits/validation", "cifar10", "cifar100")


def open_dataset(data: str) -> DatasetSplits:
    """The splits of the dataset called `data`, or else of the folder `data`.

    Raises:
        DataError: there is no such dataset or folder, or it cannot be read.
    """
    if data in ("digits", "digits/validation"):
        return digits(validation=data != "digits")
    if data in ("cifar10", "cifar100"):
        return cifar(data, cache_folder())
    if not os.path.isdir(data):
        raise DataError(
            f"There is no dataset or folder {data!r}. Give a folder of class folders, <class>/*.jpg, or one "
            f"with train/, val/ and test/ that hold such folders, or one of {', '.join(NAMES)}."
        )
    return open_folder(Path(data))


def cache_folder() -> Path:
    """Where downloads are kept: $RESNETS_CACHE, else resnets in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resnets"
    return Path(os.environ.get("RESNETS_CACHE") or default)
