"""The heads of detectors on a residual network, as frozen data; `tasks.detection` has their modules.

Names of modules, and values at the defaults, are torchvision's where it has such a detector. Rows of an output layer
are counted with the background: class 0 of a data set has row 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.models.output_rows import OutputRows
from resnets.nn.shapes import Pool

# Of a list of images that a detector is called with, as torchvision's are; the task resizes by its preprocessing.
MIN_SIZE, MAX_SIZE = 800, 1333


@dataclass(frozen=True, kw_only=True)
@checked
class FasterRCNNHead:
    """Faster R-CNN on a feature pyramid (Ren et al. 2015, 1506.01497; Lin et al. 2017, 1612.03144).

    The pyramid has a map for each stage and one of half the size of the last. A region proposal network on all of them
    proposes boxes; RoIAlign (He et al. 2017, 1703.06870) takes 7x7 positions of each from the map of its size, and two
    linear layers give its class and, for each class, a better box.

    Args:
        masks: whether there is a branch for masks, as in Mask R-CNN: 14x14 positions, four convolutions, and 28x28
            logits for each class.
        anchor_sizes: of each map, sides of squares of the same area in pixels; as many for each.
        aspect_ratios: heights by widths of the anchors of each size.
        pyramid: channels of the pyramid.
        hidden: outputs of the linear layers.
        candidates: how many proposals of each map, those of the best scores, non-maximum suppression gets, in training
            and in evaluation.
        proposals: how many it leaves of each image.
        anchors_per_image: of how many the proposal network's loss is taken; at most half are objects.
        regions_per_image: of how many the box head's loss is taken; at most a quarter are objects.
        min_score, nms, max_boxes: answers have a score above `min_score`, overlap with better ones of their class by
            an IoU of at most `nms`, and are at most so many in an image.
        min_size, max_size: pixels to which a list of images is resized, as by torchvision: of the shorter side, and at
            most of the longer one.
    """

    masks: bool = False
    anchor_sizes: tuple[tuple[int, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    pyramid: int = 256
    hidden: int = 1024
    candidates: tuple[int, int] = (2000, 1000)
    proposals: tuple[int, int] = (2000, 1000)
    anchors_per_image: int = 256
    regions_per_image: int = 512
    min_score: float = 0.05
    nms: float = 0.5
    max_boxes: int = 100
    min_size: int = MIN_SIZE
    max_size: int = MAX_SIZE

    POSITIONS: ClassVar[int] = 7  # of a region in each dimension
    MASK_POSITIONS: ClassVar[int] = 14
    MASK_LAYERS: ClassVar[int] = 4
    SMALL: ClassVar[tuple[str, ...]] = ("rpn.head",)  # first weights of a standard deviation of 0.01
    auxiliary: ClassVar[bool] = False

    def check(self, classes: int, pool: Pool, stages: int) -> None:
        """Checks that a network with so many classes and stages can have this head.

        Raises:
            UsageError: it cannot.
        """
        _check_anchors(self.anchor_sizes, self.aspect_ratios, maps=stages + 1)
        _check_regions(self, self.candidates + self.proposals, (self.pyramid, self.hidden, self.regions_per_image))
        _check_answers(self, classes)

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of the head's modules of the network that have weights."""
        masks = ("roi_heads.mask_head", "roi_heads.mask_predictor") if self.masks else ()
        return ("backbone.fpn", "rpn", "roi_heads.box_head", "roi_heads.box_predictor", *masks)

    @property
    def output_layers(self) -> dict[str, OutputRows]:
        """The layers with rows for the classes, and how they lie."""
        masks = {"roi_heads.mask_predictor.mask_fcn_logits": OutputRows(background=True)} if self.masks else {}
        return _BOX_OUTPUTS | masks


@dataclass(frozen=True, kw_only=True)
@checked
class C4Head:
    """Faster R-CNN as in He et al. 2015 (1512.03385, appendix A): the last stage is computed for each region.

    The stages before the last are shared by all regions of an image. A region proposal network on the map that they
    give proposes boxes; RoI pooling takes 14x14 positions of each, the last stage computes on them, and the mean of
    what it gives goes to the linear layers for class and boxes.

    Args:
        regions_per_image: of how many the box head's loss is taken (64 from each of two images in Girshick 2015,
            1504.08083, section 2.3, which makes 128 of one).

    The others are as in `FasterRCNNHead`; anchors, and proposals in evaluation, are those of Ren et al. 2015, section
    3.3, with two smaller sizes for small objects.
    """

    anchor_sizes: tuple[tuple[int, ...], ...] = ((32, 64, 128, 256, 512),)
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    candidates: tuple[int, int] = (12000, 6000)
    proposals: tuple[int, int] = (2000, 300)
    anchors_per_image: int = 256
    regions_per_image: int = 128
    min_score: float = 0.05
    nms: float = 0.5
    max_boxes: int = 100
    min_size: int = MIN_SIZE
    max_size: int = MAX_SIZE

    POSITIONS: ClassVar[int] = 14
    SMALL: ClassVar[tuple[str, ...]] = ("rpn.head",)  # first weights of a standard deviation of 0.01
    masks: ClassVar[bool] = False
    auxiliary: ClassVar[bool] = False

    def check(self, classes: int, pool: Pool, stages: int) -> None:
        """Checks that a network with so many classes and stages can have this head.

        Raises:
            UsageError: it cannot.
        """
        if stages < 2:
            raise UsageError("C4Head shares the stages before the last, and this network has one stage.")
        _check_anchors(self.anchor_sizes, self.aspect_ratios, maps=1)
        _check_regions(self, self.candidates + self.proposals, (self.regions_per_image,))
        _check_answers(self, classes)

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of the head's modules of the network that have weights."""
        return ("rpn", "roi_heads.box_predictor")

    @property
    def output_layers(self) -> dict[str, OutputRows]:
        """The layers with rows for the classes, and how they lie."""
        return _BOX_OUTPUTS


@dataclass(frozen=True, kw_only=True)
@checked
class RetinaNetHead:
    """RetinaNet (Lin et al. 2017, 1708.02002): class and box of every anchor of a feature pyramid.

    The pyramid has a map for each stage but the first, and two more, each by a strided convolution. Four convolutions
    and an output layer on all of them give the logits of classes; four others the boxes. As in torchvision, the classes
    have a row for the background, which is never the truth and never an answer.

    Args:
        candidates: how many answers of each map, those of the best scores, non-maximum suppression gets.

    The others are as in `FasterRCNNHead`.
    """

    anchor_sizes: tuple[tuple[int, ...], ...] = tuple(
        (size, int(size * 2 ** (1 / 3)), int(size * 2 ** (2 / 3))) for size in (32, 64, 128, 256, 512)
    )
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    pyramid: int = 256
    candidates: int = 1000
    min_score: float = 0.05
    nms: float = 0.5
    max_boxes: int = 300
    min_size: int = MIN_SIZE
    max_size: int = MAX_SIZE

    LAYERS: ClassVar[int] = 4
    SMALL: ClassVar[tuple[str, ...]] = ("head",)
    PRIOR: ClassVar[float] = 0.01  # the probability of each class of an anchor at first (section 3.3)
    masks: ClassVar[bool] = False
    auxiliary: ClassVar[bool] = False

    def check(self, classes: int, pool: Pool, stages: int) -> None:
        """Checks that a network with so many classes and stages can have this head.

        Raises:
            UsageError: it cannot.
        """
        if stages < 2:
            raise UsageError("RetinaNetHead takes the stages after the first, and this network has one stage.")
        _check_anchors(self.anchor_sizes, self.aspect_ratios, maps=stages + 1)
        if min(self.pyramid, self.candidates) < 1:
            raise UsageError(f"pyramid and candidates of {type(self).__name__} must be 1 or more.")
        _check_answers(self, classes)

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of the head's modules of the network that have weights."""
        return ("backbone.fpn", "head.classification_head", "head.regression_head")

    @property
    def output_layers(self) -> dict[str, OutputRows]:
        """The layers with rows for the classes, and how they lie."""
        bias = -math.log((1 - self.PRIOR) / self.PRIOR)
        rows = OutputRows(repeats=anchors_per_place(self), background=True, std=0.01, bias=bias)
        return {"head.classification_head.cls_logits": rows}


BoxHead = FasterRCNNHead | C4Head | RetinaNetHead

_BOX_OUTPUTS = {  # first weights as in Girshick 2015, section 2.3
    "roi_heads.box_predictor.cls_score": OutputRows(background=True, std=0.01),
    "roi_heads.box_predictor.bbox_pred": OutputRows(background=True, numbers=4, std=0.001),
}


def anchors_per_place(head: BoxHead) -> int:
    """How many anchors each position of a map has."""
    return len(head.anchor_sizes[0]) * len(head.aspect_ratios)


def _check_anchors(sizes: tuple[tuple[int, ...], ...], ratios: tuple[float, ...], *, maps: int) -> None:
    if len(sizes) != maps or not sizes[0] or {len(each) for each in sizes} != {len(sizes[0])}:
        raise UsageError(
            f"head.anchor_sizes takes sizes for {maps} {'maps' if maps > 1 else 'map'}, as many for each, not {sizes}."
        )
    if not ratios or min(min(each) for each in sizes) < 1 or not all(0 < each < math.inf for each in ratios):
        raise UsageError("head.anchor_sizes must be 1 pixel or more, and head.aspect_ratios above 0.")


def _check_regions(head: FasterRCNNHead | C4Head, numbers: tuple[int, ...], others: tuple[int, ...]) -> None:
    if min(*numbers, *others) < 1 or head.anchors_per_image < 2:
        raise UsageError(
            f"candidates, proposals and layers of {type(head).__name__} must be 1 or more, and anchors_per_image 2."
        )


def _check_answers(head: BoxHead, classes: int) -> None:
    if not classes:
        raise UsageError("A detector needs classes; without a head create its backbone instead.")
    if not (0 <= head.min_score < 1 and 0 < head.nms <= 1 and head.max_boxes >= 1):
        raise UsageError(
            f"head.min_score must be in [0, 1), head.nms in (0, 1] and head.max_boxes 1 or more, not {head.min_score}, "
            f"{head.nms} and {head.max_boxes}."
        )
    if not 1 <= head.min_size <= head.max_size:
        raise UsageError(f"head.min_size {head.min_size} must be from 1 to head.max_size {head.max_size}.")
