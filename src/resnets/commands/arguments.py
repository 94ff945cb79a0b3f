"""What the arguments of commands stand for: recipes, specs, model files, devices; and the ranges of numbers."""

from __future__ import annotations

import contextlib
import os
import re
from contextlib import AbstractContextManager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from resnets.artifacts.runtime_names import Runtime
from resnets.core.errors import FileError, UsageError
from resnets.core.units import parse_size
from resnets.core.urls import local_path
from resnets.modalities.image.preprocessing import MAX_SIZE

if TYPE_CHECKING:
    from resnets.artifacts.model_file import ModelCard
    from resnets.models.spec import Spec
    from resnets.training.recipe import Recipe


def find_recipe(recipe: str | PathLike[str] | Recipe) -> Recipe:
    """Returns the recipe that `recipe` stands for: a name, a recipe.json, or the recipe itself.

    Raises:
        UsageError: if no recipe has this name.
        FileError: if the file cannot be read.
    """
    if not isinstance(recipe, str | PathLike):
        return recipe
    recipe = os.fspath(recipe)
    if recipe.endswith(".json"):
        from resnets.training.plan import read_plan

        plan = read_plan(Path(recipe))
        return replace(plan.recipe, data=plan.data)
    from resnets.recipes import catalog as recipes

    if recipe not in recipes.RECIPES and os.path.exists(local_path(recipe, "a recipe")):
        raise UsageError(f"{recipe} is no recipe. If it is data, train on it: resnets train --data {recipe}")
    return recipes.find(recipe)


def find_spec(model: str | PathLike[str] | Spec) -> Spec:
    """Returns the spec that `model` stands for: a name, a JSON file, or the spec itself.

    Raises:
        UsageError: if no model has this name.
        FileError: if the file is missing or cannot be read.
    """
    if not isinstance(model, str | PathLike):
        return model
    model = os.fspath(model)
    if model.endswith(".json"):
        from resnets.core.config import decode
        from resnets.core.files import read_json
        from resnets.models.spec import Spec

        return decode(Spec, read_json(Path(model)), "")
    from resnets.models import catalog

    if model not in catalog.CATALOG and os.path.exists(local_path(model, "a network")):
        raise UsageError(
            f"{model} is no name of a network, which `resnets models` lists. To start from the weights in it: "
            f"--weights {model}"
        )
    if "/" in model.removeprefix("timm/") or os.sep in model or model.endswith((".safetensors", ".pth", ".pt")):
        raise FileError(f"There is no model file or run folder {model}.")
    return catalog.find(model)


def is_trained(model: str | PathLike[str] | Spec) -> bool:
    """Returns whether `model` is a model file or a run folder, not a name or a spec."""
    from resnets.models.catalog import CATALOG

    if not isinstance(model, str | PathLike) or os.fspath(model) in CATALOG:
        return False
    return Path(model).suffix != ".json" and os.path.exists(model)


def device_for(runtime: Runtime, device: str) -> str:
    """Returns `device`, with "auto" resolved to the CPU for a runtime that runs nowhere else."""
    return "cpu" if device == "auto" and runtime != "torch" else device


def threads_for(card: ModelCard, runtime: Runtime) -> AbstractContextManager[object]:
    """Context manager in which torch has as many threads as in training, so that the last bit is the same."""
    from resnets.training.environment import threads

    count = card.environment.get("threads") if runtime == "torch" else None
    return threads(count) if isinstance(count, int) and 0 < count <= 1024 else contextlib.nullcontext()


def size_range(size: int | tuple[int, int] | str) -> tuple[int, int] | None:
    """Returns the least and the largest size of a text such as "480-640"; None where it is no range.

    Raises:
        UsageError: it is one, and the least is not from 1 to the largest.
    """
    found = re.fullmatch(r"\s*([0-9]{1,9})\s*-\s*([0-9]{1,9})\s*", size) if isinstance(size, str) else None
    if found is None:
        return None
    least, most = int(found[1]), int(found[2])
    check_range("the largest size", most, 1, MAX_SIZE)
    check_range("the least size", least, 1, most)
    return least, most


def input_size(size: int | tuple[int, int] | str) -> int | tuple[int, int]:
    """Returns what `--size` stands for: pixels of a square, or (height, width) of a text such as "320x240".

    Raises:
        UsageError: it is no size, or a range, which only training has.
    """
    if size_range(size) is not None:
        raise UsageError(f"size {size} is a range, and inputs have one size here: give one number or WIDTHxHEIGHT.")
    sides = parse_size(size)
    for side in (sides,) if isinstance(sides, int) else sides:
        check_range("size", side, 1, MAX_SIZE)
    return sides if isinstance(sides, int) else (sides[0], sides[1])


def check_range(name: str, value: int | None, low: int, high: int) -> None:
    """Raises UsageError if `value` is given and not from `low` to `high`."""
    if value is not None and not low <= value <= high:
        raise UsageError(f"{name} must be from {low} to {high}, not {value}.")


def check_path(model: object) -> None:
    """Raises UsageError if `model`, which is no `Model`, is no path either; the message says how to get one."""
    if isinstance(model, str | PathLike):
        return
    advice = ""
    if hasattr(model, "state_dict"):
        advice = ": write the network's model file by resnets.save(network, FILE, classes=..., preprocessing=...) first"
    elif isinstance(model, list | tuple):
        advice = ": give several one by one"
    raise UsageError(f"model takes a model file, a run or a Model, not a {type(model).__name__}{advice}.")
