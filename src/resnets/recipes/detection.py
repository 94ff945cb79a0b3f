"""Recipes of detection: Faster R-CNN, Mask R-CNN and RetinaNet, whose networks begin with ImageNet weights."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from resnets.modalities.image.canvas import Canvas
from resnets.modalities.image.canvas_augmentations import CanvasAugmentations
from resnets.modalities.image.transforms import Flip
from resnets.modalities.image.transforms.random_shortest_size import RandomShortestSize
from resnets.models.box_heads import FasterRCNNHead
from resnets.models.catalog import find
from resnets.tasks.detection.settings import Detect
from resnets.training.fine_tuning import FineTuning
from resnets.training.recipe import SGD, Recipe
from resnets.training.schedules import OneCycle, Step, Warmup

_COCO = 117_266  # images of train2017 with a box, which detectron2 and torchvision train on
_FROZEN = FineTuning(freeze=2)  # the stem and the first stage, as in detectron2 and torchvision
_ITERATIONS = 90_000  # of 16 images: what "1x" means since Detectron


def fasterrcnn_fpn() -> Recipe:
    """Faster R-CNN with ResNet-50 and a feature pyramid on COCO, "1x": 90,000 steps of 16 images (Lin et al. 2017).

    Source: detectron2's configs/COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml and its defaults: lr 0.02 from 0.001 of it
    over 1,000 steps, a tenth at 60,000 and 80,000 steps, weight decay 1e-4, shorter side drawn from 640 to 800 and
    1,333 at most, flips, stem and first stage frozen, batch norm frozen. torchvision's references/detection trains as
    long with one size. Canvases of one size, here 1,344 x 1,344, cost more than padding to the largest of a batch, and
    make a step independent of how a batch is divided.
    Cost: 90,000 steps of 16 images of 800 px.
    Expected: detectron2 has a box AP of 37.9 on COCO val2017 (its model zoo). It was not run here.
    Command: resnets train detection/fasterrcnn-fpn --data COCO --weights FILE
    """
    return _one_x("detection/fasterrcnn-fpn", "fasterrcnn_resnet50_fpn")


def maskrcnn() -> Recipe:
    """Mask R-CNN with ResNet-50 and a feature pyramid on COCO, "1x" (He et al. 2017, 1703.06870).

    Source: detectron2's configs/COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml; see `fasterrcnn_fpn`.
    Cost: 90,000 steps of 16 images of 800 px.
    Expected: detectron2 has a box AP of 38.6 and a mask AP of 35.2 on COCO val2017. It was not run here.
    Command: resnets train detection/maskrcnn --data COCO --weights FILE
    """
    recipe = _one_x("detection/maskrcnn", "maskrcnn_resnet50_fpn")
    canvas = replace(cast(Canvas, recipe.preprocessing), targets="instances")
    return replace(recipe, task=Detect(masks=True), preprocessing=canvas)


def retinanet() -> Recipe:
    """RetinaNet with ResNet-50 on COCO, "1x" (Lin et al. 2017, 1708.02002).

    Source: detectron2's configs/COCO-Detection/retinanet_R_50_FPN_1x.yaml: as `fasterrcnn_fpn`, with lr 0.01.
    Cost: 90,000 steps of 16 images of 800 px.
    Expected: detectron2 has a box AP of 37.4 on COCO val2017. It was not run here.
    Command: resnets train detection/retinanet --data COCO --weights FILE
    """
    recipe = _one_x("detection/retinanet", "retinanet_resnet50_fpn")
    return replace(recipe, optimizer=replace(recipe.optimizer, lr=0.01))


def fasterrcnn_c4() -> Recipe:
    """Faster R-CNN with ResNet-101 as in the paper: no pyramid, the last stage for each region (He et al. 2015,
    appendix A).

    Source: the paper: PASCAL VOC and COCO, shorter side 600 (Ren et al. 2015), on COCO 8 images a step, lr 0.001 for
    240,000 steps and 0.0001 for 80,000, batch norm frozen; in Fast R-CNN's terms weight decay 5e-4 and momentum 0.9.
    Cost: 320,000 steps of 8 images of 600 px.
    Expected: the paper has a box AP of 27.2 and an AP50 of 48.4 on COCO val (table 8, trained on its train set of
    80,000 images, with the original architecture of ResNet-101). It was not run here.
    Command: resnets train detection/fasterrcnn-c4 --data COCO --weights FILE
    """
    return Recipe(
        name="detection/fasterrcnn-c4",
        data="coco",
        model=find("fasterrcnn_resnet101_c4"),
        task=Detect(),
        preprocessing=Canvas(resize=600, max_size=1000, crop=(1008, 1008), targets="boxes"),
        augmentations=CanvasAugmentations(crop=RandomShortestSize(), transforms=(Flip(),)),
        batch=8,
        steps=320_000,
        optimizer=SGD(lr=0.001, momentum=0.9, weight_decay=5e-4),
        schedule=Step(milestones=(0.75,)),
    )


def small() -> Recipe:
    """ResNet-18 with a feature pyramid on images of 320 px, for two cores. The default for boxes.

    Source: this project. It is `fasterrcnn_fpn` with a smaller network, image and batch, and with fewer
    regions, channels and hidden units, which on the CPU cost more than the residual network. Its length is in steps, so
    that more images take no longer: for them, give --epochs. The rate is that of `fasterrcnn_fpn` in proportion to the
    batch: twice as much was unstable. Canvases have the proportions of the data's median image.
    Cost: 1,500 steps of 4 images of 320 px.
    Expected: the cells of BCCD in ten minutes on two cores: an AP50 of 89.8 and 90.5% on test, two seeds (docs/log.md).
    Command: resnets train --data FOLDER --weights FILE
    """
    head = FasterRCNNHead(pyramid=128, hidden=512, candidates=(1000, 500), proposals=(500, 300), regions_per_image=128)
    return Recipe(
        name="detection/small",
        data="coco",
        model=replace(find("fasterrcnn_resnet18_fpn"), head=head),
        task=Detect(),
        preprocessing=Canvas(resize=320, max_size=533, crop=(320, 448), targets="boxes", divisor=32),
        augmentations=CanvasAugmentations(crop=RandomShortestSize(min_size=256, max_size=320), transforms=(Flip(),)),
        batch=4,
        steps=1500,
        optimizer=SGD(lr=0.005, momentum=0.9, weight_decay=1e-4),
        schedule=OneCycle(peak=0.1),
        clip_norm=10.0,
        evaluate_every=5,
        fine_tuning=_FROZEN,
    )


def _one_x(name: str, model: str) -> Recipe:
    """What the detectors on COCO have in common."""
    return Recipe(
        name=name,
        data="coco",
        model=find(model),
        task=Detect(),
        preprocessing=Canvas(resize=800, max_size=1333, crop=(1344, 1344), targets="boxes", divisor=32),
        augmentations=CanvasAugmentations(crop=RandomShortestSize(min_size=640, max_size=800), transforms=(Flip(),)),
        batch=16,
        steps=_ITERATIONS,
        optimizer=SGD(lr=0.02, momentum=0.9, weight_decay=1e-4),
        schedule=Step(milestones=(60 / 90, 80 / 90)),
        warmup=Warmup(epochs=1000 * 16 / _COCO, factor=0.001),
        fine_tuning=_FROZEN,
    )
