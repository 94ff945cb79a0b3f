"""Changes a recipe for a larger batch, on more devices."""

from __future__ import annotations

from dataclasses import replace

from resnets.core.errors import UsageError
from resnets.core.signatures import checked_arguments
from resnets.models.initialization import can_start_as_shortcuts
from resnets.training.recipe import SGD, Recipe
from resnets.training.schedules import OneCycle, Warmup

WARMUP_EPOCHS = 5.0


@checked_arguments
def large_batch(recipe: Recipe, batch: int) -> Recipe:
    """`recipe` for `batch` samples a step and the same number of epochs.

    The learning rate grows in proportion to the batch. A warm-up of 5 epochs raises it linearly from the recipe's own
    rate; a `OneCycle` that rises is a warm-up already, so it keeps its shape and starts no higher than that rate. Batch
    norm keeps its batch (`bn_batch`), and the last scale of each residual branch starts at zero (a plain net has none).
    Goyal et al. 2017 (1706.02677, sections 2 and 5.1), who found no loss of accuracy on ImageNet up to 8,192.

    Args:
        recipe: which trains with SGD.
        batch: samples a step, a multiple of the recipe's `bn_batch`.

    Returns:
        The recipe with another batch, rate and warm-up.

    Raises:
        UsageError: another optimiser than SGD, a recipe with a warm-up, or a batch that is no multiple of `bn_batch`.

    Example:
        recipe = resnets.large_batch(resnets.list_recipes()["digits"], 512)
        recipe.optimizer.lr
    """
    if not isinstance(recipe.optimizer, SGD):
        raise UsageError("large_batch scales SGD's learning rate; for another optimiser no such rule is established.")
    if recipe.warmup is not None:
        raise UsageError(f"{recipe.name} has a warm-up of its own: remove it first (warmup=none), or set only batch.")
    bn_batch = recipe.bn_batch or recipe.batch
    if batch % bn_batch or batch < recipe.batch:
        raise UsageError(
            f"large_batch takes multiples of {bn_batch}, the bn_batch of {recipe.name}, from {recipe.batch} up, "
            f"not {batch}."
        )
    scale = batch / recipe.batch
    schedule, warmup = recipe.schedule, None
    if isinstance(schedule, OneCycle) and schedule.peak > 0:
        schedule = replace(schedule, start=min(schedule.start, 1 / scale))
    elif scale > 1:
        warmup = Warmup(epochs=WARMUP_EPOCHS, factor=1 / scale)
    return replace(
        recipe,
        batch=batch,
        bn_batch=bn_batch,
        steps=None if recipe.steps is None else max(1, round(recipe.steps / scale)),
        optimizer=replace(recipe.optimizer, lr=recipe.optimizer.lr * scale),
        schedule=schedule,
        warmup=warmup,
        initialization=replace(recipe.initialization, zero_init_last=can_start_as_shortcuts(recipe.model)),
    )
