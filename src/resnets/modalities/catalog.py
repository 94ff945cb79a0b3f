"""From the name of a dataset to the dataset: "digits", "cifar10", "cifar100", or a folder."""

from __future__ import annotations

import os
from pathlib import Path

from resnets.core.errors import DataError
from resnets.modalities.base import DatasetSplits
from resnets.modalities.image.datasets.cifar import cifar
from resnets.modalities.image.datasets.digits import digits
from resnets.modalities.image.datasets.folder import open_folder

NAMES = ("digits", "digits/validation", "cifar10", "cifar100")


def open_dataset(source: str) -> DatasetSplits:
    """The dataset called `source`, or else the one in the folder `source`.

    Raises:
        DataError: it is neither, or cannot be read.
    """
    if source in ("digits", "digits/validation"):
        return digits(validation=source != "digits")
    if source in ("cifar10", "cifar100"):
        return cifar(source, cache_folder())
    if not os.path.isdir(source):
        raise DataError(
            f"There is no dataset or folder {source!r}. Give a folder that holds train/<class>/*.jpg and "
            f"val/<class>/*.jpg, or one of {', '.join(NAMES)}."
        )
    return open_folder(Path(source))


def cache_folder() -> Path:
    """Where downloads are kept: $RESNETS_CACHE, else resnets in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resnets"
    return Path(os.environ.get("RESNETS_CACHE") or default)
