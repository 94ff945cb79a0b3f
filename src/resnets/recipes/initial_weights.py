"""A recipe that starts from given weights: with their network, and images normalised as they were for them."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from resnets.artifacts.weights_facts import WeightsFacts
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.inputs import AnyInput
from resnets.training.recipe import Recipe

# What of an input's settings belongs to the weights. Sizes are the recipe's.
_OF_IMAGES = ("color", "mean", "std")
_OF_WEIGHTS = ("interpolation", "antialias", *_OF_IMAGES, "mean_image")


def with_weights(recipe: Recipe, weights: WeightsFacts, *, keeps_model: bool) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with the weights to start from, and what is to be said of it, a line each.

    Mean and std, colour and the filter of the resize become those of the weights, where these are of the recipe's kind
    of input; the recipe's sizes stay. The network becomes that of the weights, with the recipe's head.

    Args:
        keeps_model: whether the recipe's network stays, as where the user names it or the weights fit it.
    """
    preprocessing = _normalized_for(recipe.preprocessing, weights.preprocessing)
    lines = list(weights.notes)
    if preprocessing is not None:
        recipe = replace(recipe, preprocessing=preprocessing, normalize="given")
        if weights.notes and preprocessing.summary != weights.preprocessing.summary:
            lines.append(f"The recipe {recipe.name} keeps its own sizes: {preprocessing.summary}.")
        if getattr(weights.preprocessing, "mean_image", None) and not getattr(preprocessing, "mean_image", None):
            lines.append("The mean image of the weights does not fit: its mean by channel is subtracted.")
    if not keeps_model:
        recipe = with_network(recipe, weights)
        name = weights.name or f"one of {recipe.model.block} blocks {'-'.join(map(str, recipe.model.depths))}"
        lines.append(f"The network is that of the weights: {name}.")
    return replace(recipe, weights=weights.source), tuple(lines)


def with_network(recipe: Recipe, weights: WeightsFacts) -> Recipe:
    """The recipe with the network of the weights, and its own head: theirs may be of a segmentation. Batch norm is
    frozen where the recipe freezes it."""
    model, own = weights.spec, recipe.model
    if model.head != own.head:
        model = replace(model, head=own.head, output_stride=own.output_stride)
    if (model.norm, own.norm) == ("batch", "frozen"):
        model = replace(model, norm="frozen")
    return replace(recipe, model=model)


def _normalized_for(own: AnyInput, theirs: AnyInput) -> AnyInput | None:
    """`own` with what of `theirs` belongs to the weights; None where they are of different kinds.

    Of other images, such as those on canvases, mean, std and colour belong to the weights. A mean image is of one size:
    at another its mean by channel takes its place. Between grey and colour, where the first convolution is adapted, the
    average over channels is the mean and the std.
    """
    if own.modality != theirs.modality:
        return None
    names = _OF_WEIGHTS if type(own) is type(theirs) else _OF_IMAGES
    values = {name: getattr(theirs, name) for name in names if hasattr(own, name)}
    same = own.channels == theirs.channels
    if not values:
        return None
    if getattr(theirs, "mean_image", None) is not None:
        fits = "mean_image" in values and same and own.shape() == theirs.shape()
        if not fits:
            pixels = cast(Preprocessing, theirs).mean_pixels()
            values["mean"] = tuple(pixels.mean((1, 2), dtype="float64").tolist())
            values |= {"mean_image": None} if "mean_image" in values else {}
    if not same:
        levels = {name: sum(values[name]) / len(values[name]) for name in ("mean", "std")}
        values |= {name: (level,) * own.channels for name, level in levels.items()}
        del values["color"]
    return replace(own, **values)
