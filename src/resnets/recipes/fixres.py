"""Changes a recipe to adapt a trained network to the size at which it is tested."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import cast

from resnets.core.errors import UsageError
from resnets.core.signatures import checked_arguments
from resnets.modalities.image.transforms import Augmentations, Flip
from resnets.training.fine_tuning import FineTuning
from resnets.training.plan import read_plan
from resnets.training.recipe import SGD, Recipe
from resnets.training.schedules import Cosine
from resnets.training.size import with_size

RATE, BATCH = 8e-3, 512  # of their script main_finetune.py for ResNet-50


@checked_arguments
def fixres(
    recipe: Recipe | str | PathLike[str],
    weights: str | PathLike[str],
    size: int | tuple[int, int],
    *,
    epochs: float = 10.0,
) -> Recipe:
    """`recipe` for fine-tuning at the size of the test, of a network that was trained at a smaller one.

    Random crops enlarge what they show, so that a network sees objects smaller in tests than in training. Testing at a
    larger size makes up for it, but changes the statistics of the last activations: the end of the network is trained
    on, on images that are prepared as in tests (Touvron et al. 2019, 1906.06423, section 4). Training costs less at the
    smaller size, and the fine-tuning has no backward pass through most of the network.

    Theirs trains the classifier and the last batch norm. Here the classifier and the last stage learn, and what comes
    before computes as in evaluation. Rate, momentum and decay are theirs (SGD, 0.008 for a batch of 512, in
    proportion); the rate falls as a cosine, and images are flipped where the recipe flips them, as in their second
    version.

    On the command line, of a run that was trained at 128 px, of a network with four stages and a batch of 64:
    resnets train runs/small/recipe.json --weights runs/small --size 160 --epochs 10
    augmentations.crop=none augmentations.progressive_resize=none augmentations.auto_augment=none
    augmentations.mix=[] optimizer=SGD optimizer.lr=0.001 schedule=Cosine warmup=none label_smoothing=0
    fine_tuning={"freeze":4} teacher=none

    Args:
        recipe: of the run at the smaller size, or the path of its recipe.json.
        weights: of that run.
        size: of tests and of the fine-tuning, in pixels; one number, or (height, width). About 1.15 to 1.75 times the
            size of training: theirs tests at 224 to 384 what was trained at 128 to 224.
        epochs: length of the fine-tuning.

    Returns:
        The recipe, to be trained as any other.

    Raises:
        UsageError: the recipe is not for images of one size, or the network cannot have this one.
        FileError: the recipe cannot be read.

    Example:
        small = resnets.train("photos", data="photos", size=128)
        resnets.train(fixres(small.folder / "recipe.json", small.model, 160))
    """
    if not isinstance(recipe, Recipe):
        plan = read_plan(Path(recipe))
        recipe = replace(plan.recipe, data=plan.data)
    if not recipe.preprocessing.sized:
        raise UsageError("fixres is for images of one size: whole images are trained on as they are tested.")
    sized = with_size(recipe, size)
    flips = tuple(each for each in cast(Augmentations, sized.augmentations).transforms if isinstance(each, Flip))
    return replace(
        sized,
        weights=str(weights),
        augmentations=Augmentations(transforms=flips),
        optimizer=SGD(lr=RATE * recipe.batch / BATCH, momentum=0.9, weight_decay=1e-4),
        schedule=Cosine(),
        warmup=None,
        epochs=epochs,
        steps=None,
        minutes=None,
        repeated_augmentation=1,
        label_smoothing=0.0,
        precise_bn=0,
        fine_tuning=FineTuning(freeze=len(recipe.model.depths)),  # the stem and all stages but the last
        teacher=None,
    )
