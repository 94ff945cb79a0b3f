"""Residual networks: trained, evaluated, understood, fine-tuned and shipped.

Everything public is here, and loaded on first use: `import resnets` imports no torch.

    net = resnets.create("resnet50", classes=10)
    run = resnets.train("digits", out="runs/first", seed=1)
    model = resnets.load("runs/first")
    model.predict("seven.png", top=3)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from resnets.core import old_modules
from resnets.version import __version__

if TYPE_CHECKING:
    from resnets.artifacts.model import Model
    from resnets.commands.api import (
        benchmark,
        create,
        describe,
        evaluate,
        list_experiments,
        list_models,
        list_recipes,
        load,
        predict,
        replay,
        reproduce,
        resume,
        train,
    )
    from resnets.core.errors import DataError, FileError, PredictionError, ResnetsError, TrainingError, UsageError
    from resnets.modalities.image.preprocessing import Preprocessing
    from resnets.models.catalog import CATALOG
    from resnets.models.resnet import ResNet
    from resnets.models.spec import Spec
    from resnets.recipes.large_batch import large_batch
    from resnets.training.recipe import Recipe

old_modules.install()

_HOMES = {
    "benchmark": "commands.api",
    "create": "commands.api",
    "describe": "commands.api",
    "evaluate": "commands.api",
    "list_experiments": "commands.api",
    "list_models": "commands.api",
    "list_recipes": "commands.api",
    "load": "commands.api",
    "predict": "commands.api",
    "replay": "commands.api",
    "reproduce": "commands.api",
    "resume": "commands.api",
    "train": "commands.api",
    "CATALOG": "models.catalog",
    "Model": "artifacts.model",
    "Preprocessing": "modalities.image.preprocessing",
    "Recipe": "training.recipe",
    "large_batch": "recipes.large_batch",
    "ResNet": "models.resnet",
    "Spec": "models.spec",
    "DataError": "core.errors",
    "FileError": "core.errors",
    "PredictionError": "core.errors",
    "ResnetsError": "core.errors",
    "TrainingError": "core.errors",
    "UsageError": "core.errors",
}

__all__ = [
    "CATALOG",
    "DataError",
    "FileError",
    "Model",
    "PredictionError",
    "Preprocessing",
    "Recipe",
    "ResNet",
    "ResnetsError",
    "Spec",
    "TrainingError",
    "UsageError",
    "__version__",
    "benchmark",
    "create",
    "describe",
    "evaluate",
    "large_batch",
    "list_experiments",
    "list_models",
    "list_recipes",
    "load",
    "predict",
    "replay",
    "reproduce",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'resnets' has no attribute {name!r}")
    return getattr(importlib.import_module(f"resnets.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
