"""The size of a recipe's inputs, and what should be said of it."""

from __future__ import annotations

from dataclasses import replace

from resnets.core.units import show_size
from resnets.training.recipe import Recipe

NAMES = ("size", "image_size", "img_size", "imgsz", "input_size", "resolution")  # of other libraries


def with_size(recipe: Recipe, size: int | tuple[int, int]) -> Recipe:
    """`recipe` for inputs of another size, with everything that is given in pixels in proportion.

    The resize before a centre crop keeps its ratio to the crop, such as 256 to 224. `ProgressiveResize`, `ScaledCrop`,
    `PaddedCrop` and `Cutout` keep theirs to the shorter side.

    Args:
        size: pixels of each side of a square, or height and width; for whole images of any size, of the shorter side.

    Returns:
        The recipe, whose rate, batch and length are as they were.

    Raises:
        UsageError: the input has no such size, or it is too small for the network.
    """
    was = recipe.preprocessing
    now = was.with_size(size)
    augmentations = recipe.augmentations.with_size(min(was.shape()), min(now.shape()))
    return replace(recipe, preprocessing=now, augmentations=augmentations)


def with_range(recipe: Recipe, least: int, most: int) -> Recipe:
    """`recipe` for whole images whose shorter side has from `least` to `most` pixels in training, and `most` in
    evaluation.

    Raises:
        UsageError: inputs have one size.
    """
    augmentations = recipe.augmentations.with_range(least, most)
    return replace(with_size(recipe, most), augmentations=augmentations)


def notes_on_size(recipe: Recipe, model: str | None = None) -> tuple[str, ...]:
    """Notes on sizes that are probably a mistake.

    Args:
        recipe: as it will be trained.
        model: what to call the network, where the user has chosen it.

    Returns:
        A line where images are trained on at a larger size than they are tested at, and one where they have half the
        size that the network is made for or less, or twice or more.
    """
    if not recipe.preprocessing.sized:
        return ()
    notes, usual, tested = [], recipe.model.usual_size, recipe.preprocessing.shape()
    size = max(recipe.largest_shape)
    if model is not None and not usual / 2 < size < usual * 2:
        notes.append(
            f"{model} is made for images of {usual} px, and trains at {size} px here: --size {usual} changes that."
        )
    grown = recipe.augmentations.largest_size
    if grown is not None and grown > min(tested):
        notes.append(
            f"Training grows to {grown} px, and the model is tested at {show_size(_short(tested))} px: "
            f"augmentations.progressive_resize.stop={min(tested)} keeps both alike, --size N sets both."
        )
    return tuple(notes)


def _short(shape: tuple[int, ...]) -> int | tuple[int, ...]:
    """One number for a square."""
    return shape[0] if shape[0] == shape[1] else shape
