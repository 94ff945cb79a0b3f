"""The model that a command is given: a file, a run, or in Python one that is loaded."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from resnets.core.errors import UsageError

if TYPE_CHECKING:
    import torch

    from resnets.artifacts.model import Model


_USUAL = {"runtime": "torch", "precision": "auto"}


def open_model(
    model: str | PathLike[str] | Model, device: str | torch.device, size: int | tuple[int, int] | None, **how: Any
) -> Model:
    """The model, loaded where it is not yet, at another size of its inputs where one is given.

    Args:
        device, how: as of `load`; a model that is loaded is as it is.

    Raises:
        FileError, UsageError: as of `load`; or a model that is loaded is asked to compute otherwise.
    """
    from resnets.artifacts.model import Model, load
    from resnets.artifacts.size import with_size

    if isinstance(model, Model):
        for name, value in how.items():
            if value not in (None, _USUAL.get(name)):
                raise UsageError(
                    f"A Model is as it was loaded: give its file, or one of resnets.load(FILE, {name}=...)."
                )
        return replace(model, card=with_size(model.card, size))
    return load(model, device, size=size, **how)
