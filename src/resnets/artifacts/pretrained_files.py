"""Files of weights of any origin: what is in them, without running code."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnets.artifacts import model_file
from resnets.artifacts.model_file import ModelCard
from resnets.core.errors import FileError
from resnets.core.files import explain

_CONTAINERS = ("state_dict", "model_state_dict", "model", "net")


def read_weights(path: Path) -> tuple[dict[str, Tensor], ModelCard | None]:
    """The tensors in a file of any origin, and the card if it is a model file. Code in the file is never run.

    Raises:
        FileError: the file is missing, damaged, or a pickle of other objects than tensors.
    """
    if path.suffix == ".safetensors":
        tensors, metadata = model_file.read_safetensors(path)
        text = metadata.get(model_file.KEY)
        return tensors, model_file.read_card(path, text) if text is not None else None
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                model_file.check_tensors(path, len(file.namelist()))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileError:
        raise
    except OSError as error:
        raise explain("read", path, error) from error
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileError(
            f"{path} could not be read as weights ({reason}). It is damaged, or a pickle that would run code: ask its "
            "author for a safetensors file."
        ) from error
    return _tensors(content, path), None


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    for key in _CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if isinstance(content, Mapping) and not any(isinstance(value, Tensor) for value in content.values()):
        tables = {key: value for key, value in content.items() if _is_table(value)}
        if len(tables) > 1:
            first = next(iter(tables))
            raise FileError(
                f"{path} holds {len(tables)} sets of weights, {' and '.join(map(str, tables))}. Save the one to use: "
                f"torch.save(torch.load({str(path)!r})[{first!r}], 'one.pth')"
            )
        content = next(iter(tables.values()), content)
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise FileError(f"{path} has no state_dict, neither as it is nor under {', '.join(_CONTAINERS)}.")
    return {str(name): tensor for name, tensor in content.items()}


def _is_table(value: Any) -> bool:
    """Whether it is a table of weights, such as a `state_dict` under a name of its own."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(each, Tensor) for each in value.values())
