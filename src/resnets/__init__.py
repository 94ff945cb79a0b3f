"""Residual networks: train, evaluate, understand, fine-tune and ship them.

The public API, loaded on first use: `import resnets` does not import torch.

    net = resnets.create("resnet50", classes=10)
    run = resnets.train("digits", out="runs/first", seed=1)
    scores = resnets.evaluate(run)
    model = resnets.load(run)
    model.predict("seven.png", top=3)
    features = model.embed(["seven.png"])  # (1, features)

`Run` and `Scores` are what `train` and `evaluate` return. `train(..., subscribers=(function,))` calls each `Subscriber`
with each `Event` of the run, a dictionary; `resnets.training.events` lists them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from resnets.core import old_modules
from resnets.version import __version__

if TYPE_CHECKING:
    from resnets.artifacts.create import create
    from resnets.artifacts.model import Model, load
    from resnets.artifacts.save import save
    from resnets.commands.benchmark import benchmark
    from resnets.commands.check import check
    from resnets.commands.compare import compare
    from resnets.commands.describe import describe
    from resnets.commands.embed import embed
    from resnets.commands.evaluate import evaluate
    from resnets.commands.experiments import list_experiments
    from resnets.commands.explain import explain
    from resnets.commands.models import list_models
    from resnets.commands.predict import predict
    from resnets.commands.recipes import list_recipes
    from resnets.commands.replay import replay
    from resnets.commands.reproduce import reproduce
    from resnets.commands.resume import resume
    from resnets.commands.similar import similar
    from resnets.commands.train import train
    from resnets.commands.training_run import Run
    from resnets.core.errors import DataError, FileError, PredictionError, ResnetsError, TrainingError, UsageError
    from resnets.evaluation.scoring import Scores
    from resnets.modalities.image.preprocessing import Preprocessing
    from resnets.models.catalog import CATALOG
    from resnets.models.resnet import ResNet
    from resnets.models.spec import Spec
    from resnets.recipes.large_batch import large_batch
    from resnets.training.events import Event, Subscriber
    from resnets.training.recipe import Recipe

old_modules.install()

_HOMES = {
    "benchmark": "commands.benchmark",
    "check": "commands.check",
    "compare": "commands.compare",
    "create": "artifacts.create",
    "describe": "commands.describe",
    "embed": "commands.embed",
    "evaluate": "commands.evaluate",
    "explain": "commands.explain",
    "list_experiments": "commands.experiments",
    "list_models": "commands.models",
    "list_recipes": "commands.recipes",
    "load": "artifacts.model",
    "predict": "commands.predict",
    "replay": "commands.replay",
    "reproduce": "commands.reproduce",
    "resume": "commands.resume",
    "save": "artifacts.save",
    "similar": "commands.similar",
    "train": "commands.train",
    "CATALOG": "models.catalog",
    "Event": "training.events",
    "Model": "artifacts.model",
    "Preprocessing": "modalities.image.preprocessing",
    "Recipe": "training.recipe",
    "large_batch": "recipes.large_batch",
    "ResNet": "models.resnet",
    "Run": "commands.training_run",
    "Scores": "evaluation.scoring",
    "Spec": "models.spec",
    "Subscriber": "training.events",
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
    "Event",
    "FileError",
    "Model",
    "PredictionError",
    "Preprocessing",
    "Recipe",
    "ResNet",
    "ResnetsError",
    "Run",
    "Scores",
    "Spec",
    "Subscriber",
    "TrainingError",
    "UsageError",
    "__version__",
    "benchmark",
    "check",
    "compare",
    "create",
    "describe",
    "embed",
    "evaluate",
    "explain",
    "large_batch",
    "list_experiments",
    "list_models",
    "list_recipes",
    "load",
    "predict",
    "replay",
    "reproduce",
    "resume",
    "save",
    "similar",
    "train",
]


if not TYPE_CHECKING:  # or type checkers would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name in old_modules.MOVED:
            return importlib.import_module(f"resnets.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module 'resnets' has no attribute {name!r}")
        return getattr(importlib.import_module(f"resnets.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
