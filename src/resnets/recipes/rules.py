"""Rules that fit recipes to the data, the weights and the time, before the user's settings: those of `photos` and
`finetune`; of detectors, which begin with weights, what holds without any, and of `detection/small` the proportions of
the images.

    size    the largest of 64, 96, 128, 160, 192 and 224 px that the images have, by their median; with a time budget
            the largest at which `LEAST_EPOCHS` and `LEAST_IMAGES` (or `LEAST_FROM_WEIGHTS`) fit into it
    batch   32 below 2,000 images, 64 below 20,000, 128 below 100,000, else 256; from scratch 128 already from 2,000
            on, since a step of Muon costs much the same at any batch; at most an eighth of the images, and at least 8
    rate    of SGD in proportion to the batch (Goyal et al. 2017, 1706.02677, section 2.1), of others as its square
            root (Malladi et al. 2022, 2205.10287)
    length  from scratch 40 epochs of 10,000 images, and as the square root of the number for others, from 16 to 100;
            from weights the images that BiT's HyperRule sees (Kolesnikov et al. 2020, 1912.11370, section 3.3)
    layers  from weights all learn, from a linear probe on, and the model lies between the two (WiSE-FT; Wortsman et al.
            2022, 2109.01903); below `FEW` images a class the head alone learns; from weights of fewer than `GENERAL`
            classes, most of them others, all as from scratch
    crops   from weights as large as the test, or 6/7 or 5/7 of it, where `LEAST_TUNING` epochs of larger ones do not
            fit into the time

Each rule is a pure function of its arguments, which a run records: a resumed run has the recipe that it began with.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar, cast

from resnets.artifacts.pretrained_classes import rows_by_name
from resnets.artifacts.weights_facts import WeightsFacts
from resnets.core.config import names_of
from resnets.core.units import show_count
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms import Augmentations, ProgressiveResize
from resnets.models.counts import multiply_adds
from resnets.models.spec import Spec
from resnets.recipes.detection_rules import detection, small_detection
from resnets.recipes.facts import DataFacts, Reason, TimeFacts
from resnets.recipes.initial_weights import with_network
from resnets.recipes.photos import photos
from resnets.tasks.catalog import find as find_task
from resnets.training.fine_tuning import FineTuning
from resnets.training.recipe import SGD, Recipe

SIZES = (64, 96, 128, 160, 192, 224)  # pixels of a side
GROWTH = 32  # pixels by which crops grow while training, and of which their sizes are multiples
LEAST_EPOCHS, LEAST_IMAGES, LEAST_FROM_WEIGHTS = 13, 20_000, 4_000  # that have to fit into a time budget at a size
LEAST_TUNING = 8  # epochs, likewise, where weights that suit the data learn on
TRAINING = 0.9  # of a time budget; the rest is for starting, evaluating and saving
RATE, RATE_BATCH = 0.24, 128  # of `photos`: Muon's learning rate at that batch
FINE_TUNING_RATE = 0.0015  # of `finetune`, at batch 32: more undoes the probe that it begins with
RATE_OF_PROBE = 0.001  # where the head alone learns, which has been fitted already
FEW = 40  # images a class, below which all layers but the head keep the weights
GENERAL = 100  # classes, below which the features of weights are taken for those of their classes alone
OWN_AVERAGE = {"ema", "fine_tuning.head"}  # settings that WiSE-FT between a probe and its training does not go with
_POINTS = 50  # of a run at which the size of the crops is computed

T = TypeVar("T")


def fitted(
    recipe: Recipe, facts: DataFacts, weights: WeightsFacts | None, time: TimeFacts | None = None
) -> tuple[Recipe, tuple[Reason, ...]]:
    """`recipe`, one of `RULES` by its name, fitted to the data, and a reason for each topic; any other as it is.

    Args:
        weights: that the run begins with; None begins with new ones, or with those that the recipe names.
        time: where the run has a time budget.
    """
    rule = RULES.get(recipe.name)
    if rule is None:
        return recipe, ()
    recipe, reasons = rule(recipe, facts, weights, time)
    if facts.task == recipe.task.name:
        return recipe, reasons
    recipe = replace(recipe, task=find_task(facts.task), label_smoothing=0.0)
    return recipe, (*reasons, Reason("loss", f"the data is for {facts.task}, which has no label smoothing"))


def _photos(
    recipe: Recipe, facts: DataFacts, weights: WeightsFacts | None, time: TimeFacts | None, least: int = LEAST_IMAGES
) -> tuple[Recipe, tuple[Reason, ...]]:
    size, why = size_for(recipe.model, facts, time, least)
    batch, epochs = scratch_batch_for(facts.samples), epochs_for(facts.samples)
    augmentations, preprocessing = cast(Augmentations, recipe.augmentations), cast(Preprocessing, recipe.preprocessing)
    resized = _crops(size)
    recipe = replace(
        recipe,
        preprocessing=replace(preprocessing, resize=size * 8 // 7, crop=size),
        augmentations=replace(augmentations, progressive_resize=resized),
        batch=batch,
        epochs=epochs,
        optimizer=with_rate(recipe.optimizer, RATE * math.sqrt(batch / RATE_BATCH)),
        evaluate_every=max(1, round(epochs / 20)),
    )
    return recipe, (
        Reason("model", "small enough for the CPU" if weights is None else "that of the weights"),
        Reason("size", why),
        Reason("batch", f"for {facts.samples:,} images"),
        Reason("rate", f"{RATE:g} at batch {RATE_BATCH}, as the square root of the batch"),
        Reason("length", f"the fewer images, the more epochs: {facts.samples:,} images"),
    )


def _finetune(
    recipe: Recipe, facts: DataFacts, weights: WeightsFacts | None, time: TimeFacts | None
) -> tuple[Recipe, tuple[Reason, ...]]:
    if weights is not None:
        recipe = with_network(recipe, weights)
        if type(weights.preprocessing) is type(recipe.preprocessing):
            recipe = replace(recipe, preprocessing=weights.preprocessing)
        if (reason := narrow(weights, facts.names)) is not None:
            return _finetune_all(recipe, facts, weights, time, reason)
    batch, epochs, rate = batch_for(facts.samples), fine_tuning_epochs(facts.samples), FINE_TUNING_RATE
    size, resized = "as the weights were trained", None
    length = f"the fewer images, the more epochs: {facts.samples:,} images"
    tuned = recipe.fine_tuning
    if not find_task(facts.task).single_label:  # there is no probe for them
        tuned = FineTuning(unfreeze=(0.1,))
    elif facts.samples < FEW * facts.classes:
        epochs, rate, length = 1, RATE_OF_PROBE, f"fewer than {FEW} images a class: all but the head stays as it is"
        tuned = replace(tuned, freeze=len(recipe.model.depths) + 1, wise_ft=1.0)
        recipe = replace(recipe, label_smoothing=0.0)
    mean_image = cast(Preprocessing, recipe.preprocessing).mean_image  # which is of one size
    if not (tuned.freeze or mean_image or time is None):
        resized = smaller_crops(recipe.model, min(recipe.preprocessing.shape()), LEAST_TUNING * facts.samples, time)
        if resized is not None:
            size += f"; crops as large would leave too few epochs for {time.minutes:g} min"
    recipe = replace(
        recipe,
        augmentations=replace(cast(Augmentations, recipe.augmentations), progressive_resize=resized),
        batch=batch,
        epochs=epochs,
        optimizer=with_rate(recipe.optimizer, rate * batch / 32),
        fine_tuning=tuned,
        evaluate_every=max(1, round(epochs / 20)),
    )
    return recipe, (
        Reason("model", "that of the weights"),
        Reason("size", size),
        Reason("batch", f"for {facts.samples:,} images"),
        Reason("rate", "for weights that are trained already, in proportion to the batch"),
        *_reasons_to_average(tuned),
        Reason("length", length),
    )


def _reasons_to_average(tuned: FineTuning) -> tuple[Reason, ...]:
    why = "both kept in part, a linear probe of the weights and what all layers learn from it"
    return () if tuned.wise_ft == 1 else (Reason("average", why),)


def _finetune_all(
    recipe: Recipe, facts: DataFacts, weights: WeightsFacts, time: TimeFacts | None, why: str
) -> tuple[Recipe, tuple[Reason, ...]]:
    """As `photos`, from the weights, which have seen images enough, so that few larger ones teach more than many small
    ones. A mean image, which is of one size, is taken to be the same everywhere."""
    scratch, before = photos(), cast(Preprocessing, recipe.preprocessing)
    mean = tuple(before.mean_pixels().mean((1, 2), dtype="float64").tolist())
    recipe = replace(recipe, preprocessing=replace(before, mean=mean, mean_image=None))
    recipe = replace(
        recipe, augmentations=scratch.augmentations, optimizer=scratch.optimizer, schedule=scratch.schedule,
        fine_tuning=FineTuning(),
    )  # fmt: skip
    recipe, reasons = _photos(recipe, facts, weights, time, LEAST_FROM_WEIGHTS)
    return recipe, tuple(Reason(topic, why if topic == "rate" else text) for topic, text in reasons)


# What fits a recipe, by its name.
RULES = {
    "photos": _photos, "finetune": _finetune, "detection/small": small_detection,
    "detection/fasterrcnn-fpn": detection, "detection/maskrcnn": detection, "detection/retinanet": detection,
    "detection/fasterrcnn-c4": detection,
}  # fmt: skip


def narrow(weights: WeightsFacts, classes: Sequence[str]) -> str | None:
    """Why all layers learn as fast as from scratch; None where the features of the weights suit the data.

    Features of few classes say little of others: from a network of five classes of imagenette, 20 images of each of
    five others reached 51% by a head alone, and 72 to 78% as here (docs/log.md).
    """
    known = weights.rows
    if known is None or known >= GENERAL or 2 * len(rows_by_name(classes, weights.classes)) >= len(classes):
        return None
    count = show_count(known, "class", "classes") + (", most of them others and" if weights.classes else ",")
    return f"the weights know {count} fewer than {GENERAL}: they learn as from scratch"


def fine_tuning_epochs(samples: int) -> int:
    """The epochs from weights: those in which BiT's HyperRule sees as many images (500, 10,000 or 20,000 steps of 512;
    Kolesnikov et al. 2020, 1912.11370, section 3.3), from 5 to 30."""
    steps = 500 if samples < 20_000 else 10_000 if samples < 500_000 else 20_000
    return round(min(30.0, max(5.0, 512 * steps / max(1, samples))))


def smaller_crops(model: Spec, tested: int, images: int, time: TimeFacts) -> ProgressiveResize | None:
    """Crops of about 6/7 or 5/7 of the size of the test, such as 192 and 160 for 224 px; None where none are needed.

    Crops of at least 0.35 of the area show objects no larger than the test does, where both have the same size, so that
    smaller ones leave the network with objects, and with statistics of its last map, that the test does not have
    (Touvron et al. 2019, 1906.06423, section 3, for crops of 0.08 and more, which enlarge). They cost less.

    Args:
        tested: size of the test, in pixels; below 96 there are no smaller ones.
        images: that have to fit into the time.
    """
    if tested < 96:
        return None
    crops = [_crops(each, by=0) for each in (tested, *(GROWTH * round(tested * n / 7 / GROWTH) for n in (6, 5)))]
    largest = next((each for each in crops if _images_in(time, model, each) >= images), crops[-1])
    return largest if largest.stop < tested else None


def size_for(
    model: Spec, facts: DataFacts, time: TimeFacts | None = None, least: int = LEAST_IMAGES
) -> tuple[int, str]:
    """The size in pixels at which to train all layers, and why.

    Args:
        least: images that have to fit into the time, where an epoch is short.
    """
    median = f"the images are {facts.width} x {facts.height} px (median)"
    size = max((each for each in SIZES if each <= facts.side), default=SIZES[0])
    if time is None:
        return size, median
    needed = max(LEAST_EPOCHS * facts.samples, least)
    fitting = [each for each in SIZES if each <= size and _images_in(time, model, _crops(each)) >= needed]
    if size in fitting:
        return size, median
    return max(fitting, default=SIZES[0]), f"{median}, and more would leave too few epochs for {time.minutes:g} min"


def batch_for(samples: int) -> int:
    """The batch for so many training images: a power of two."""
    usual = 32 if samples < 2_000 else 64 if samples < 20_000 else 128 if samples < 100_000 else 256
    return max(8, min(usual, 1 << int(math.log2(max(1, samples / 8)))))


def scratch_batch_for(samples: int) -> int:
    """The batch from scratch for so many training images.

    A step of Muon makes momenta orthogonal, which costs the same at any batch.
    """
    batch = batch_for(samples)
    return 128 if batch == 64 else batch


def epochs_for(samples: int) -> int:
    """The epochs from scratch for so many training images."""
    return round(min(100.0, max(16.0, 40 * math.sqrt(10_000 / max(1, samples)))))


def with_rate(optimizer: T, rate: float) -> T:
    """`optimizer` with the learning rate `rate`, of three significant digits."""
    return replace(optimizer, lr=float(f"{rate:.3g}"))  # type: ignore[type-var]


def rate_for_batch(recipe: Recipe, batch: int) -> tuple[float, str]:
    """The learning rate of a recipe at another batch, and the rule.

    SGD's grows in proportion to the batch (Goyal et al. 2017, 1706.02677, section 2.1); that of optimisers whose steps
    do not grow with the gradient as its square root (Malladi et al. 2022, 2205.10287).
    """
    scale = batch / recipe.batch
    linear = isinstance(recipe.optimizer, SGD)
    rate = recipe.optimizer.lr * (scale if linear else math.sqrt(scale))
    return float(f"{rate:.3g}"), "in proportion to the batch" if linear else "as the square root of the batch"


def completed(recipe: Recipe, overrides: Iterable[str]) -> tuple[str, ...]:
    """`overrides` of a recipe, with a rate for their batch where they have none, and where they have an average of
    their own, or another head to begin with, without that of the recipe.

    Raises:
        UsageError: the batch is no number.
    """
    overrides = tuple(overrides)
    names = names_of(overrides)
    if recipe.name not in RULES:
        return overrides
    if recipe.fine_tuning.wise_ft != 1 and names & OWN_AVERAGE and not names & {"fine_tuning", "fine_tuning.wise_ft"}:
        overrides = (*overrides, "fine_tuning.wise_ft=1")
    if "batch" not in names or names & {"optimizer", "optimizer.lr"}:
        return overrides
    changed = recipe.with_overrides(each for each in overrides if each.partition("=")[0].strip() != "optimizer.lr")
    return (*overrides, f"optimizer.lr={rate_for_batch(recipe, changed.batch)[0]!r}")


def _crops(size: int, by: int = GROWTH) -> ProgressiveResize:
    """Crops that grow to `size`, by so many pixels, but from `SIZES[0]` at least."""
    return ProgressiveResize(start=max(SIZES[0], size - by), stop=size)


def _images_in(time: TimeFacts, model: Spec, resized: ProgressiveResize) -> float:
    """How many images training takes within a time budget, about, on crops that grow so."""
    sizes = [resized.at((point + 0.5) / _POINTS) for point in range(_POINTS)]
    costs = {each: multiply_adds(model, each) for each in set(sizes)}
    return 60 * time.minutes * TRAINING * time.speed / (sum(costs[each] for each in sizes) / len(sizes))
