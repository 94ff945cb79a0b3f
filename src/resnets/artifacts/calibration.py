"""The samples on which int8 is calibrated."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from resnets.artifacts.inputs import files_in
from resnets.artifacts.model_file import ModelCard
from resnets.core.console import note
from resnets.core.errors import DataError
from resnets.data.sampler import evenly_spaced
from resnets.modalities.base import NOUNS
from resnets.modalities.catalog import open_dataset
from resnets.modalities.inputs import AnyInput, dataset_of, open_reader

CALIBRATION = 300  # samples, as NNCF's own default


def calibration_digest(name: str | PathLike[str], settings: AnyInput) -> str:
    """A hash of the names and sizes of the samples in the folder `name`, or of the dataset's name."""
    name = os.fspath(name)
    paths = map(Path, files_in(name, settings)) if Path(name).is_dir() else ()
    files = [f"{path.relative_to(name)} {path.stat().st_size}" for path in paths]
    return hashlib.sha256("\n".join(files or [name]).encode(errors="surrogateescape")).hexdigest()[:8]


def calibration_of(
    card: ModelCard, calibrate: str | PathLike[str] | None, *, sized: bool = False
) -> tuple[Callable[[], Iterator[Tensor]] | None, str]:
    """The inputs on which a model is calibrated, and a hash of them.

    Args:
        calibrate: a folder or the name of a dataset; None takes the training data, whose hash is empty.
        sized: whether the model is at another size than its own, which is hashed too.

    Returns:
        What gives the inputs, or None where nothing says on what the model was trained; and the hash.
    """
    name = os.fspath(calibrate) if calibrate is not None else card.recipe.get("data")
    digest = "" if calibrate is None else calibration_digest(calibrate, card.preprocessing)
    if sized:
        digest = "-".join(filter(None, (digest, "x".join(map(str, card.preprocessing.shape())))))
    return (None if name is None else lambda: calibration_inputs(name, card.preprocessing)), digest


def calibration_inputs(name: str | PathLike[str], settings: AnyInput) -> Iterator[Tensor]:
    """Inputs of a network, (1, C, ...) each: `CALIBRATION` of the folder or dataset `name`, evenly spaced."""
    name = os.fspath(name)
    if Path(name).is_dir():
        dataset = dataset_of(settings, files_in(name, settings, notes=True))
    else:
        try:
            splits = open_dataset(name)
        except DataError as error:
            raise DataError(
                f"int8 is calibrated on {settings.noun}s like those of later predictions, and {name} is not here: "
                "give --calibrate FOLDER."
            ) from error
        dataset = splits.train
        if dataset.modality != settings.modality:
            raise DataError(f"{name} holds {NOUNS[dataset.modality]}s, and int8 is calibrated on {settings.noun}s.")
        note(*splits.notes)
    if not len(dataset):
        raise DataError(f"There are no {settings.noun}s in {name} to calibrate int8 on.")
    reader = open_reader(settings)
    for number in evenly_spaced(len(dataset), CALIBRATION):
        with contextlib.suppress(DataError):  # samples that cannot be read are skipped
            loaded = reader.load(dataset, number, settings.tta[0])
            yield reader.normalize(torch.from_numpy(loaded.inputs[0])[None])
