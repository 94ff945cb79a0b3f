"""Recipes of semantic segmentation (Long et al. 2015, arXiv 1411.4038)."""

from __future__ import annotations

from dataclasses import replace

from resnets.modalities.image.canvas import Canvas
from resnets.modalities.image.canvas_augmentations import CanvasAugmentations
from resnets.modalities.image.transforms import ColorJitter, Flip
from resnets.modalities.image.transforms.random_scale_crop import RandomScaleCrop
from resnets.models.catalog import find
from resnets.models.heads import DeepLabHead, FCNHead, FPNHead
from resnets.tasks.segmentation.settings import Segment
from resnets.training.recipe import SGD, AdamW, Recipe
from resnets.training.schedules import Polynomial


def fcn() -> Recipe:
    """FCN with ResNet-50 as torchvision trains it: 30 epochs of random scales and crops of 480, batch 32, lr 0.02.

    Source: torchvision's reference script, references/segmentation/train.py, with the command that its README has for
    fcn_resnet50: 8 GPUs with 4 images each, `--lr 0.02 --dataset coco -b 4 --aux-loss`; the learning rate falls as
    (1 - done) ** 0.9. It begins with ImageNet weights (--weights), gives the auxiliary head ten times the learning
    rate, which is not done here, and shares batch-norm statistics over all 8 GPUs. Crops are filled with the mean
    colour here, with black there.
    Cost: 30 epochs of 480 x 480 crops through an output stride of 8.
    Expected: torchvision has a mean IoU of 60.5% and 91.4% of pixels right on the 21 classes of PASCAL VOC in COCO
    val2017, for fcn_resnet50 (COCO_WITH_VOC_LABELS_V1). It was not run here.
    Command: resnets train segmentation/fcn --data FOLDER --weights FILE
    """
    return Recipe(
        name="segmentation/fcn",
        data="masks",
        model=replace(find("fcn_resnet50"), head=FCNHead(auxiliary=True)),
        task=Segment(),
        preprocessing=Canvas(resize=520, crop=(480, 480)),
        augmentations=CanvasAugmentations(crop=RandomScaleCrop(min_scale=0.5, max_scale=2.0), transforms=(Flip(),)),
        batch=32,
        epochs=30,
        optimizer=SGD(lr=0.02, momentum=0.9, weight_decay=1e-4),
        schedule=Polynomial(power=0.9),
    )


def deeplabv3() -> Recipe:
    """DeepLabV3 with ResNet-50 (Chen et al. 2017, arXiv 1706.05587) as torchvision trains it: see `fcn`.

    Source: torchvision's references/segmentation/train.py with the command for deeplabv3_resnet50, which is that of
    fcn_resnet50.
    Cost: 30 epochs of 480 x 480 crops through an output stride of 8.
    Expected: torchvision has a mean IoU of 66.4% and 92.4% of pixels right on the 21 classes of PASCAL VOC in COCO
    val2017 (COCO_WITH_VOC_LABELS_V1). It was not run here.
    Command: resnets train segmentation/deeplabv3 --data FOLDER --weights FILE
    """
    return replace(
        fcn(),
        name="segmentation/deeplabv3",
        model=replace(find("deeplabv3_resnet50"), head=DeepLabHead(auxiliary=True)),
    )


def fpn() -> Recipe:
    """ResNet-18 with a feature pyramid (Kirillov et al. 2019, arXiv 1901.02446), the encoder at its own strides.

    Source: this project (docs/log.md). It is `segmentation/small` with a pyramid in place of the dilated last stages,
    which costs less for each pixel and keeps thin objects, and larger batches. Its length is in steps, so that more
    images take no longer: for them, give --epochs.
    Cost: 2,000 steps of 8 crops of 256 x 320 (height x width).
    Expected: a mean IoU of 59.2% on the test images of CamVid from ImageNet weights, three seeds (docs/log.md).
    Command: resnets train segmentation/fpn --data FOLDER --weights FILE, with task.ignore=VALUE where void is not 255
    """
    return replace(
        small(),
        name="segmentation/fpn",
        model=replace(find("resnet18"), head=FPNHead()),
        preprocessing=Canvas(resize=360, crop=(256, 320)),
        batch=8,
        steps=2000,
    )


def small() -> Recipe:
    """A small FCN for a folder of images with masks, in minutes on two cores. The default for folders of masks.

    Source: this project (docs/log.md). It is `segmentation/fcn` with ResNet-18, smaller crops and batches, AdamW, and
    classes that weigh more the rarer they are, since each counts alike in the mean IoU; fewer pixels are right for it.
    Its length is in steps, so that more images take no longer: for them, give --epochs.
    Cost: 500 steps of 6 crops of 240 x 320, 13 minutes on two cores with bf16.
    Expected: on 24 images of CamVid from ImageNet weights, a mean IoU of 52.0% on test, one seed (docs/log.md).
    Command: resnets train --data FOLDER --weights FILE, with task.ignore=VALUE where void is not 255
    """
    return Recipe(
        name="segmentation/small",
        data="masks",
        model=replace(find("resnet18"), head=FCNHead(), output_stride=8),
        task=Segment(),
        preprocessing=Canvas(resize=360, crop=(240, 320)),
        augmentations=CanvasAugmentations(
            crop=RandomScaleCrop(min_scale=0.5, max_scale=2.0), transforms=(Flip(), ColorJitter())
        ),
        batch=6,
        steps=500,
        optimizer=AdamW(lr=0.001, weight_decay=0.01),
        balance="weights",
        schedule=Polynomial(power=0.9),
        evaluate_every=10,
    )
