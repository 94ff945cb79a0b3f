"""The rules of recipes for detection; see `recipes.rules`."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from resnets.artifacts.weights_facts import WeightsFacts
from resnets.modalities.image.canvas import Canvas
from resnets.recipes.facts import DataFacts, Reason, TimeFacts
from resnets.training.recipe import Recipe


def detection(
    recipe: Recipe, facts: DataFacts, weights: WeightsFacts | None, time: TimeFacts | None
) -> tuple[Recipe, tuple[Reason, ...]]:
    """A detector begins with weights, or learns all under group norm."""
    if weights is not None:
        return recipe, (Reason("model", "the weights fit it"),)
    recipe = replace(
        recipe, model=replace(recipe.model, norm="group"), fine_tuning=replace(recipe.fine_tuning, freeze=0)
    )
    return recipe, (Reason("model", "with group norm, and nothing is frozen, as there are no weights"),)


def small_detection(
    recipe: Recipe, facts: DataFacts, weights: WeightsFacts | None, time: TimeFacts | None
) -> tuple[Recipe, tuple[Reason, ...]]:
    """As `detection`, on a canvas of the proportions of the images."""
    canvas = cast(Canvas, recipe.preprocessing)
    height, width = (
        -(-side // canvas.divisor) * canvas.divisor for side in canvas.evaluation_size(facts.height, facts.width)
    )
    size = f"as the images are, of {facts.width} x {facts.height} px (median), with {canvas.resize} px"
    if facts.turned:
        height = width = max(height, width)
        size += "; some are upright and others not, so that the canvas is square"
    recipe, reasons = detection(recipe, facts, weights, time)
    recipe = replace(recipe, preprocessing=replace(canvas, crop=(height, width)))
    return recipe, (
        *reasons,
        Reason("size", size),
        Reason("length", "as the recipe has it, however many images there are"),
    )
