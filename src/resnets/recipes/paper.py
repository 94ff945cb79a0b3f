"""The recipes of He et al. 2015 (arXiv 1512.03385)."""

from __future__ import annotations

from dataclasses import replace

from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms import Augmentations, Flip, PaddedCrop, PCAColor, ScaledCrop
from resnets.models.catalog import find
from resnets.models.initialization import Initialization
from resnets.training.recipe import SGD, Recipe
from resnets.training.schedules import Step

# At lr 0.01 for the first 400 steps of 128 images, 1.024 epochs of 50,000.
WARMUP_110 = ("warmup=Warmup", "warmup.epochs=1.024", "warmup.factor=0.1", "warmup.shape=constant")


def cifar() -> Recipe:
    """CIFAR-10 as in section 4.2: batch 128, lr 0.1 divided by 10 at 32k and 48k of 64k steps.

    Source: He et al. 2015, section 4.2. The milestones are fractions of the run (1/2 and 3/4), so a shorter run keeps
    the shape of the schedule. The paper starts 110 layers at lr 0.01 for about 400 steps: that is paper/cifar110. It
    chose its settings with 5,000 training images held out: holdout=5000. Images are padded with black before the mean
    is subtracted, as in most implementations.
    Cost: 164 epochs; docs/log.md has the images a second.
    Expected: the paper's test error is 8.75% for 20 layers, 7.51% for 32, 7.17% for 44, 6.97% for 56 and
    6.61 ± 0.16% for 110 (table 6).
    Command: resnets train paper/cifar --model cifar_resnet20
    """
    return Recipe(
        name="paper/cifar",
        data="cifar10",
        model=find("cifar_resnet20"),
        preprocessing=Preprocessing(resize=32, crop=32),
        normalize="mean image",
        augmentations=Augmentations(transforms=(PaddedCrop(padding=4), Flip())),
        batch=128,
        steps=64_000,
        optimizer=SGD(lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=Step(milestones=(0.5, 0.75), factor=0.1),
        initialization=Initialization(fan="fan_in"),
    )


def cifar110() -> Recipe:
    """`paper/cifar` for 110 layers: lr 0.01 for the first 400 steps.

    Source: He et al. 2015, section 4.2, which warms up until the training error is below 80%, "about 400 iterations".
    Cost: 164 epochs, each five times that of 20 layers.
    Expected: the paper's test error is 6.61 ± 0.16% over five runs, the best 6.43% (table 6).
    Command: resnets train paper/cifar110
    """
    recipe = replace(cifar(), name="paper/cifar110", model=find("cifar_resnet110"))
    return recipe.with_overrides(WARMUP_110)


def imagenet() -> Recipe:
    """ImageNet as in section 3.4: scale augmentation, PCA colour, batch 256, lr 0.1, 120 epochs (60e4 steps).

    Source: He et al. 2015, section 3.4. The paper divides the learning rate by 10 "when the error plateaus":
    schedule=Plateau does that, by the loss in evaluation; here it falls at a quarter, half and three quarters of the
    run. The mean is subtracted by channel, not by pixel, so that whole images of any size can be evaluated (--tta
    multi-scale).
    Cost: 120 epochs of ImageNet.
    Expected: ten-crop errors of 25.03% (34 layers, option A), 22.85% (50, v1); table 3.
    Command: resnets train paper/imagenet --data FOLDER --model resnet50_v1
    """
    return Recipe(
        name="paper/imagenet",
        data="imagenet",
        model=find("resnet34_a"),
        preprocessing=Preprocessing(resize=256, crop=224, std=(1.0, 1.0, 1.0)),
        augmentations=Augmentations(crop=ScaledCrop(min_size=256, max_size=480), transforms=(Flip(), PCAColor())),
        batch=256,
        epochs=120,
        optimizer=SGD(lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=Step(milestones=(0.25, 0.5, 0.75), factor=0.1),
        initialization=Initialization(fan="fan_in"),
    )
