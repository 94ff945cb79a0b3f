"""The inputs of a command, and the model that they are for."""

from __future__ import annotations

import itertools
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.artifacts.runtime_names import RunPrecision, Runtime
from resnets.commands.answering import shared_paths
from resnets.commands.arguments import check_path, device_for
from resnets.commands.command import Invocation
from resnets.commands.given_model import open_model
from resnets.core.console import common_progress, say
from resnets.core.errors import PredictionError, UsageError

if TYPE_CHECKING:
    from resnets.artifacts.model import Model
    from resnets.modalities.given import Given
    from resnets.training.distributed import Ranks


def open_inputs(
    model: str | PathLike[str] | Model,
    images: tuple[Any, ...],
    ranks: Ranks,
    device: str,
    runtime: Runtime,
    precision: RunPrecision,
    calibrate: str | Path | None,
    size: int | tuple[int, int] | None,
) -> tuple[Model, Iterable[Given], int | None]:
    """The model, its inputs, and how many these are, where that is known."""
    from resnets.artifacts.inputs import expand
    from resnets.modalities.given import given_inputs

    how = {"runtime": runtime, "precision": precision, "calibrate": calibrate}
    model = open_model(model, device_for(runtime, device), size, **how)
    settings = model.card.preprocessing

    def given(listed: Any) -> Iterator[Given]:
        return given_inputs(listed, settings.modality, lambda path: expand([path], settings))

    if ranks.world > 1:
        found = shared_paths(given(expand(images, settings)) if ranks.is_main else (), ranks)
        return model, found, len(found)
    listed = expand(images, settings)
    known = all(isinstance(each, str | PathLike) for each in listed)
    return model, given(listed), len(listed) if known else None


def open_layers(
    model: str | PathLike[str] | Model, images: tuple[Any, ...], device: str, size: int | tuple[int, int] | None
) -> tuple[Model, Iterable[Given], int | None]:
    """As `open_inputs`, in this process alone, of a model whose layers can be reached.

    Raises:
        UsageError: there is no input, or the model is none.
    """
    from resnets.artifacts.model import Model
    from resnets.training.distributed import Ranks

    if not isinstance(model, Model):
        check_path(model)
    if not images:
        raise UsageError("Give at least one image.")
    return open_inputs(model, images, Ranks(), device, "torch", "fp32", None, size)


def call_on_inputs(invocation: Invocation) -> tuple[Any, list[dict[str, str]]]:
    """Calls the function of a command on its inputs, with the paths on standard input among them; returns what it
    returns, and of each input that cannot be read the name ("input") and why ("error"). Without `--json` these are
    named on standard error."""
    given = invocation.arguments
    given.images = with_standard_input(given.images)
    try:
        with common_progress():
            return invocation.call(), []
    except PredictionError as error:
        if not given.json:
            say(*(f"resnets: {reason}" for reason in error.failed.values()), stream=sys.stderr)
        return error.predictions, [{"input": error.inputs[n], "error": str(why)} for n, why in error.failed.items()]


def with_standard_input(images: list[Any]) -> list[Any]:
    """The inputs of a command line, with the paths on standard input in place of "-", or where none is given.

    Raises:
        UsageError: the list is asked for twice, or is empty.
    """
    from resnets.artifacts.inputs import listed_paths
    from resnets.training.distributed import is_main

    asked = images.count("-")
    if asked > 1:
        raise UsageError("Standard input has one list of paths: give - once.")
    if not asked and (images or not _is_piped()):
        return images
    stream = getattr(sys.stdin, "buffer", None)
    paths = iter(()) if stream is None else listed_paths(stream)
    first = next(paths, None) if is_main() else None
    if first is None and not [each for each in images if each != "-"] and is_main():
        raise UsageError("Give at least one image: the list on standard input is empty.")
    listed = itertools.chain([] if first is None else [first], paths if is_main() else ())
    return [listed if each == "-" else each for each in images] if asked else [listed]


def _is_piped() -> bool:
    """Whether standard input is a file or the output of another program."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):  # there is none, or it is no file
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)
