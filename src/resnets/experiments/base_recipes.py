"""The recipes that the nets of an experiment share."""

from __future__ import annotations

from dataclasses import replace

from resnets.core.errors import UsageError
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms.augmentations import Augmentations
from resnets.modalities.image.transforms.padded_crop import PaddedCrop
from resnets.recipes import paper
from resnets.training.recipe import Recipe

DIGITS_EPOCHS = 24.0


def cifar(data: str | None) -> Recipe:
    """`paper/cifar` on `data`, CIFAR-10 by default, with training errors.

    For digits, which are few, small and grey: no flips, crops padded by one pixel, batches of 64, lr 0.02 and
    `DIGITS_EPOCHS`. That was chosen on digits/validation, before any result on the test digits.
    """
    recipe = replace(paper.cifar(), data=data or "cifar10", score_training=True)
    if data is None or not data.startswith("digits"):
        return recipe
    return replace(
        recipe,
        preprocessing=Preprocessing(resize=8, crop=8),
        augmentations=Augmentations(transforms=(PaddedCrop(padding=1),)),
        batch=64,
        steps=None,
        epochs=DIGITS_EPOCHS,
        optimizer=replace(recipe.optimizer, lr=0.02),
    )


def imagenet(data: str | None) -> Recipe:
    """`paper/imagenet` on the folder `data`.

    Raises:
        UsageError: no folder is given.
    """
    if data is None:
        raise UsageError("This experiment is about ImageNet, which cannot be downloaded freely: give --data FOLDER.")
    return replace(paper.imagenet(), data=data)


def imagenet_with_training_errors(data: str | None) -> Recipe:
    """`imagenet`, which also scores the training images at every evaluation."""
    return replace(imagenet(data), score_training=True)
