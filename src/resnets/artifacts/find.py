"""Where the model file of a run is."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

from resnets.artifacts.mistaken_model import mistaken_model
from resnets.artifacts.model_file import MODEL_NAME
from resnets.core.errors import FileError
from resnets.core.urls import local_path
from resnets.models.catalog import CATALOG


def find_model_file(model: str | PathLike[str]) -> Path:
    """The path of the model file: `model` itself, or the model file in the run folder `model`.

    Raises:
        FileError: there is none.
        UsageError: `model` is an address on the network.
    """
    path = Path(local_path(model, "a model"))
    if reason := mistaken_model(path) if os.path.exists(path) else "":
        raise FileError(reason)
    if os.path.isdir(path):
        if not (path / MODEL_NAME).is_file():
            raise FileError(
                f"{path} has no {MODEL_NAME}, which is written when training ends. If the run was "
                f"interrupted: resnets resume {path}."
            )
        return path / MODEL_NAME
    if not os.path.exists(path):
        network = f": {path} is the name of a network, which has to be trained first" if str(path) in CATALOG else ""
        raise FileError(f"There is no model file or run folder {path}{network}.")
    return path
