"""The recipe of torchvision's newer weights (IMAGENET1K_V2)."""

from __future__ import annotations

from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms import (
    Augmentations,
    CutMix,
    Flip,
    Mixup,
    ProgressiveResize,
    RandomErasing,
    RandomResizedCrop,
    TrivialAugmentWide,
)
from resnets.models.catalog import find
from resnets.training.recipe import SGD, Recipe
from resnets.training.schedules import Cosine, Warmup

# 1 - 0.00002 * 1,024 * 32 / 600 in every 32nd step is this in every step.
EMA = (1 - 2e-5 * 1024 * 32 / 600) ** (1 / 32)


def v2() -> Recipe:
    """ImageNet in 600 epochs with SGD, TrivialAugment, random erasing, mixup, CutMix, repeated augmentation and EMA.

    Source: Vryniotis 2021, "How to train state-of-the-art models using TorchVision's latest primitives", and the
    command of torchvision's references/classification/README.md for its new recipe: 8 GPUs with 128 images each, each
    with batch-norm statistics of its own (bn_batch). Trained at 176 px and tested at 224 px, for which networks see
    objects as large (FixRes, Touvron et al. 2019, 1906.06423). The average is theirs, of every 32nd step, spread over
    all steps. The cosine runs over the whole run here, over what follows the warm-up there; the classifier's bias does
    not decay here.
    Cost: 600 epochs of ImageNet, each with 0.62 of the multiply-adds at 224 px.
    Expected: theirs reaches 80.9% with ResNet-50 (IMAGENET1K_V2). It was not run here.
    Command: resnets train torchvision/v2 --data FOLDER
    """
    return Recipe(
        name="torchvision/v2",
        data="imagenet",
        model=find("resnet50"),
        preprocessing=Preprocessing(resize=232, crop=224),
        augmentations=Augmentations(
            crop=RandomResizedCrop(),
            progressive_resize=ProgressiveResize(start=176, stop=176),  # of one size from start to end
            auto_augment=TrivialAugmentWide(),
            transforms=(Flip(),),
            erasing=RandomErasing(p=0.1),
            mix=(Mixup(alpha=0.2, per="batch"), CutMix(alpha=1.0, per="batch")),
        ),
        batch=1024,
        bn_batch=128,
        repeated_augmentation=4,
        epochs=600,
        optimizer=SGD(lr=0.5, momentum=0.9, weight_decay=2e-5, decay_norms=False),
        schedule=Cosine(),
        warmup=Warmup(epochs=5, factor=0.01),
        label_smoothing=0.1,
        ema=EMA,
        evaluate_every=5,
    )
