"""Recipes that reach an accuracy in the least time, with the ideas of public speedruns."""

from __future__ import annotations

from dataclasses import replace

from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms import (
    Augmentations,
    Cutout,
    Flip,
    PaddedCrop,
    ProgressiveResize,
    RandomResizedCrop,
)
from resnets.models.catalog import find
from resnets.models.initialization import Initialization
from resnets.training.recipe import SGD, Muon, Recipe
from resnets.training.schedules import OneCycle

MUON = Muon(lr=0.12, momentum=0.6, classifier_lr=0.007, vector_lr=3.5, decay=3.5e-4)


def cifar10() -> Recipe:
    """CIFAR-10 in few epochs: a short, wide residual net with a whitening stem, trained with Muon.

    Source: Jordan 2024 (2404.00498) and its later scripts (cifar10-airbench), for a residual net similar to that of
    Page 2018: whitening stem, Muon, a learning rate that falls linearly to zero, alternating flip, reflection padding,
    and test-time augmentation with six shifted and flipped crops. The last scale of each block starts at zero (Goyal et
    al. 2017). Settings were chosen on held-out images (docs/log.md).
    Cost: an epoch takes 2 minutes on two cores with bf16.
    Expected: on a JPEG copy of CIFAR-10, a test error of 8.5% after 16 epochs (docs/log.md).
    Command: resnets train fast/cifar10
    """
    return Recipe(
        name="fast/cifar10",
        data="cifar10",
        model=find("cifar_fast"),
        preprocessing=Preprocessing(resize=32, crop=32),
        normalize="channels",
        augmentations=Augmentations(transforms=(PaddedCrop(padding=2, fill="reflect"), Flip(alternating=True))),
        batch=250,
        epochs=8,
        optimizer=MUON,
        schedule=OneCycle(peak=0),
        label_smoothing=0.2,
        initialization=Initialization(zero_init_last=True, classifier_std=1 / 256),
        tta="shift",
        evaluate_every=8,
    )


def cifar10_96() -> Recipe:
    """`cifar10` for 96% instead of 94%: a wider net, more epochs, more padding and Cutout.

    Source: Jordan 2024 (2404.00498; its script airbench96): widths of 128, 384 and 512, padding by 4 px, Cutout of
    12 px, about 40 epochs. The weight decay is smaller, as the run is longer.
    Cost: an epoch takes 2.9 times the multiply-adds of one of `cifar10`.
    Expected: theirs reaches 96.0% on CIFAR-10. Ours: not measured.
    Command: resnets train fast/cifar10-96
    """
    short = cifar10()
    return replace(
        short,
        name="fast/cifar10-96",
        model=replace(short.model, stem_width=128, widths=(128, 384, 512)),
        augmentations=Augmentations(
            transforms=(PaddedCrop(padding=4, fill="reflect"), Flip(alternating=True), Cutout(size=12))
        ),
        epochs=40,
        optimizer=replace(MUON, decay=1e-4),
        evaluate_every=10,
    )


def imagenet() -> Recipe:
    """ImageNet in 16 epochs: progressive resizing from 160 to 192 px; evaluated at 256 px, with flips.

    Source: Leclerc et al. 2023 (ffcv, 2306.12517) and its ffcv-imagenet configurations for ResNet-50, whose learning
    rate of 1.7 for a batch of 4,096 is 0.425 for this one of 1,024 (Goyal et al. 2017). It rises for two of 16 epochs
    and then falls linearly. Theirs uses BlurPool before every stride, this does not.
    Cost: 16 epochs, each with 0.5 to 0.7 of the multiply-adds at 224 px.
    Expected: theirs reaches 73.8% in 16 epochs, 75.6% in 24, 77.2% in 40 and 78.4% in 88. Ours: not measured.
    Command: resnets train fast/imagenet --data FOLDER --epochs 16
    """
    return Recipe(
        name="fast/imagenet",
        data="imagenet",
        model=find("resnet50"),
        preprocessing=Preprocessing(resize=293, crop=256),
        augmentations=Augmentations(
            crop=RandomResizedCrop(), progressive_resize=ProgressiveResize(), transforms=(Flip(),)
        ),
        batch=1024,
        epochs=16,
        optimizer=SGD(lr=0.425, momentum=0.9, weight_decay=1e-4, decay_norms=False),
        schedule=OneCycle(peak=0.125, start=1e-4),
        label_smoothing=0.1,
        tta="flip",
        evaluate_every=4,
    )
