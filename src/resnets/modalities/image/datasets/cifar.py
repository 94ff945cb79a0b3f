"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), read and downloaded by torchvision."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, cast

import numpy as np

from resnets.core.errors import DataError
from resnets.core.files import one_at_a_time
from resnets.modalities.base import DatasetSplits
from resnets.modalities.image.datasets.in_memory import InMemoryDataset


def cifar(name: str, root: Path) -> DatasetSplits:
    """The dataset "cifar10" or "cifar100" in the folder `root`, downloaded on first use.

    Raises:
        DataError: it is not there and cannot be downloaded.
    """
    from torchvision import datasets

    cls = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    try:
        try:
            parts = _read(cls, root)
        except RuntimeError:  # what torchvision raises for missing or damaged files
            _fetch(cls, root)
            parts = _read(cls, root)
    except Exception as error:  # torchvision does not catch what its downloader, tar and pickle raise
        raise DataError(
            f"{name} is neither in {root} nor could it be downloaded ({error}). Put torchvision's copy there, "
            "or give --data a folder of images."
        ) from error
    train, test = (
        InMemoryDataset(
            tuple(cast("list[str]", part.classes)),
            np.array(part.targets, np.int64),
            np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)),
            f"{name} {split}",
        )
        for part, split in zip(parts, ("train", "test"), strict=True)
    )
    return DatasetSplits({"train": train, "test": test})


def _read(cls: Any, root: Path) -> list[Any]:
    return [cls(str(root), train=train, download=False) for train in (True, False)]


def _is_there(cls: Any, root: Path) -> bool:
    try:
        _read(cls, root)
    except RuntimeError:
        return False
    return True


def _fetch(cls: Any, root: Path) -> None:
    """Puts the dataset into `root` in one step, so that other processes see all of it or nothing.

    An archive that is already in `root` is unpacked and not downloaded again.
    """
    from torchvision.datasets.utils import check_integrity, extract_archive

    root.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(root / f".{cls.base_folder}.lock"):
        if _is_there(cls, root):  # another process has downloaded it meanwhile
            return
        with tempfile.TemporaryDirectory(dir=root, prefix=f".{cls.base_folder}.") as temporary:
            archive = root / cls.filename
            if check_integrity(str(archive), cls.tgz_md5):
                extract_archive(str(archive), temporary)
            else:
                cls(temporary, download=True)
            final = root / cls.base_folder
            if final.exists():
                if _is_there(cls, root):  # where files cannot be locked, another was faster
                    return
                final.rename(Path(temporary) / "damaged")
            try:
                (Path(temporary) / cls.base_folder).rename(final)
            except OSError:
                if not _is_there(cls, root):
                    raise
