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

from resnets.version import __version__

if TYPE_CHECKING:
    from resnets.api import (
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
    from resnets.artifacts.model import Model
    from resnets.errors import DataError, FileError, PredictionError, ResnetsError, TrainingError, UsageError
    from resnets.models.catalog import CATALOG
    from resnets.models.resnet import ResNet
    from resnets.models.spec import Spec
    from resnets.preprocessing import Preprocessing
    from resnets.recipes.large_batch import large_batch
    from resnets.training.recipe import Recipe

_HOMES = {
    "benchmark": "api",
    "create": "api",
    "describe": "api",
    "evaluate": "api",
    "list_experiments": "api",
    "list_models": "api",
    "list_recipes": "api",
    "load": "api",
    "predict": "api",
    "replay": "api",
    "reproduce": "api",
    "resume": "api",
    "train": "api",
    "CATALOG": "models.catalog",
    "Model": "artifacts.model",
    "Preprocessing": "preprocessing",
    "Recipe": "training.recipe",
    "large_batch": "recipes.large_batch",
    "ResNet": "models.resnet",
    "Spec": "models.spec",
    "DataError": "errors",
    "FileError": "errors",
    "PredictionError": "errors",
    "ResnetsError": "errors",
    "TrainingError": "errors",
    "UsageError": "errors",
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
