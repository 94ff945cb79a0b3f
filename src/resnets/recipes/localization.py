"""Recipes of localization: the class of an image, and a box."""

from __future__ import annotations

from dataclasses import replace

from resnets.modalities.image.canvas import Canvas
from resnets.modalities.image.canvas_augmentations import CanvasAugmentations
from resnets.modalities.image.transforms import ColorJitter, Flip
from resnets.modalities.image.transforms.scale_jitter import ScaleJitter
from resnets.models.catalog import find
from resnets.models.heads import LocalizationHead
from resnets.tasks.localization.settings import Localize
from resnets.training.recipe import SGD, Recipe
from resnets.training.schedules import OneCycle


def small() -> Recipe:
    """ResNet-18 that names what is on an image and puts a box around it, on images of 128 px, for two cores.

    Source: this project; the head follows Simonyan & Zisserman 2014 (1409.1556, appendix A), with one box for all
    classes, which few images need. The paper's per-class boxes (He et al. 2015, appendix C): model.head.per_class=true.
    Cost: 8 epochs of images of 128 px.
    Expected: on 20 classes of Tiny ImageNet in 24 minutes on two cores a top-5 localization error of 20.1%, where the
    mean training box has 30.3% (docs/log.md).
    Command: resnets train localization/small --data FOLDER --weights FILE
    """
    return Recipe(
        name="localization/small",
        data="voc",
        model=replace(find("resnet18"), head=LocalizationHead()),
        task=Localize(),
        preprocessing=Canvas(resize=128, crop=(128, 128), targets="boxes", letterbox=True),
        augmentations=CanvasAugmentations(
            crop=ScaleJitter(min_scale=0.7, max_scale=1.0), transforms=(Flip(), ColorJitter())
        ),
        batch=32,
        epochs=8,
        optimizer=SGD(lr=0.003, momentum=0.9, weight_decay=1e-4),
        schedule=OneCycle(peak=0.25),
    )
