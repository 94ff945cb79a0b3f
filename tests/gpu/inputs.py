"""Small trainings and images for the checks of an accelerator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from resnets.data.loader import Batches
from resnets.models.initialize import create
from resnets.recipes.catalog import find
from resnets.tasks.classification.task import Classification
from resnets.training import build, environment, prepare
from resnets.training.recipe import Recipe
from resnets.training.step import Training

Figures = dict[str, Any]

# Random depth, an average of the weights, ghost batches and clipping, all that a step can do.
RICH = ("model.drop_path=0.5", "ema=0.9", "bn_batch=32", "clip_norm=1.0", "precision=fp32")
MUON = ("optimizer=Muon", "precision=fp32")


def is_cuda(device: str) -> bool:
    return torch.device(device).type == "cuda"


def write_images(folder: Path, train: int = 24, val: int = 8) -> Path:
    """Writes two classes of JPEG files of 48 x 40 px, one darker than the other, and returns `folder`."""
    g = np.random.default_rng(0)
    for part, count in (("train", train), ("val", val)):
        for number in range(count):
            path = folder / part / f"class{number % 2}" / f"{number:02}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = g.integers(0, 256 // (1 + number % 2), (40, 48, 3), np.uint8)
            Image.fromarray(pixels).save(path, quality=90)
    return folder


def training_of(recipe: Recipe, device: str) -> tuple[Training, Batches]:
    """The training of `recipe` before its first step, and its batches."""
    recipe, data = prepare.resolve(recipe)
    network = create(recipe.model, seed=recipe.seed, how=recipe.initialization)
    task = Classification(label_smoothing=recipe.label_smoothing)
    training = Training(recipe, environment.choose(device, recipe.precision), task, network, len(data.train))
    return training, build.batches_for(recipe, data, device=training.device)


def digits_recipe(*settings: str) -> Recipe:
    return find("digits").with_overrides(("steps=40", *settings))
