"""The recipes of He et al. 2015 (arXiv 1512.03385)."""

from __future__ import annotations

from resnets.data.views import Flip, PaddedCrop, Views
from resnets.models.catalog import find
from resnets.preprocessing import Preprocessing
from resnets.training.recipe import SGD, Initialization, Recipe
from resnets.training.schedules import Step


def cifar() -> Recipe:
    """CIFAR-10 as in section 4.2: batch 128, lr 0.1 divided by 10 at 32k and 48k of 64k steps.

    Source: He et al. 2015, section 4.2. The drops are shares of the run (1/2 and 3/4), so a shorter run keeps its
    shape. The paper starts 110 layers at lr 0.01 for about 400 steps: add warmup=Warmup warmup.epochs=1.024
    warmup.factor=0.1 warmup.shape=constant. Black is padded before the mean image is subtracted, as most do.
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
        views=Views(augment=(PaddedCrop(padding=4), Flip())),
        batch=128,
        steps=64_000,
        optimizer=SGD(lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=Step(milestones=(0.5, 0.75), factor=0.1),
        initialization=Initialization(fan="fan_in"),
    )
