"""Recipes for one's own photographs, from scratch and from weights; `recipes.rules` fits them to the data."""

from __future__ import annotations

from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms import Augmentations, Flip, ProgressiveResize, RandomResizedCrop
from resnets.models.catalog import find
from resnets.training.fine_tuning import FineTuning
from resnets.training.recipe import SGD, Muon, Recipe
from resnets.training.schedules import OneCycle


def photos() -> Recipe:
    """Photographs from scratch: ResNet-18 on crops that grow, Muon with a one-cycle schedule, label smoothing.

    This is the recipe for 10,000 photographs of 128 px or more within half an hour on two cores. For other data its
    sizes, batch, rate and length follow from the number and the size of the images, and from --minutes
    (`recipes.rules`); whatever is given stays as it is given.
    Source: ffcv-imagenet (Leclerc et al. 2023, 2306.12517) for the sizes and the shape of the schedule; the smallest
    crop, 0.35 of the area, is that of fastai's train_imagenette; Muon (Jordan et al. 2024) as cifar10-airbench has it.
    Cost: an epoch of 9,469 photographs takes about 90 seconds on two cores with bf16.
    Expected: benchmarks/photographs.py measures it on imagenette.
    Command: resnets train photos --data FOLDER --minutes 30
    """
    return Recipe(
        name="photos",
        data="photos",
        model=find("resnet18"),
        preprocessing=Preprocessing(resize=146, crop=128),
        augmentations=Augmentations(
            crop=RandomResizedCrop(scale=(0.35, 1.0)),
            progressive_resize=ProgressiveResize(start=96, stop=128),
            transforms=(Flip(),),
        ),
        batch=128,
        epochs=40,
        optimizer=Muon(lr=0.24),
        schedule=OneCycle(peak=0.25, start=0.1),
        label_smoothing=0.1,
    )


def finetune() -> Recipe:
    """Photographs from the weights of a network that was trained on others, with its network and its preprocessing.

    Weights come from --weights, or from a file in $RESNETS_CACHE/weights. The head begins as a linear probe. Of few
    images it is all that learns; else the whole network learns on from there (Kumar et al. 2022, 2202.10054), and the
    model is the middle of the probe and what was learnt (WiSE-FT, Wortsman et al. 2022, 2109.01903). From weights of
    few classes, most of them others, all of it learns as in `photos`.
    Epochs, batch and rate follow from the number of images (`recipes.rules`); whatever is given stays as it is given.
    Source: BiT's HyperRule (Kolesnikov et al. 2020, 1912.11370, section 3.3) for the images that are seen by the size
    of the data, and for leaving mixup out; Touvron et al. 2019 (1906.06423) for the size of the crops.
    Cost: ResNet-18 takes some 50 images a second at 224 px on two cores with bf16, and 80 on crops of 160 px.
    Expected: 97 to 98% on 17flowers in 10 minutes on two cores, and 96.6% (mean of 5 seeds) on the ten classes of
    imagenette with 20 images each (benchmarks/photographs.py, docs/log.md).
    Command: resnets train finetune --data FOLDER --weights FILE
    """
    return Recipe(
        name="finetune",
        data="photos",
        model=find("resnet18"),
        preprocessing=Preprocessing(),
        augmentations=Augmentations(crop=RandomResizedCrop(scale=(0.35, 1.0)), transforms=(Flip(),)),
        batch=32,
        epochs=30,
        optimizer=SGD(lr=0.0015, nesterov=True, weight_decay=1e-4),
        schedule=OneCycle(peak=0.15, start=0.1),
        label_smoothing=0.1,
        fine_tuning=FineTuning(head="probe", wise_ft=0.5),
        tta="flip",
    )
