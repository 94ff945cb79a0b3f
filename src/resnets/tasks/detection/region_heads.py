"""The second stage of a detector: the modules on each region, their losses, and the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from resnets.models.box_heads import C4Head, FasterRCNNHead
from resnets.nn.stochastic import set_region_keys
from resnets.tasks.detection import box_head, mask_head
from resnets.tasks.detection.box_head import SampledRegions
from resnets.tasks.detection.boxes import Detections, Limits, Objects
from resnets.tasks.detection.pyramid import Pyramid, Shared
from resnets.tasks.detection.regions import AlignedRegions, last_stage_of
from resnets.tasks.detection.sampling import Sampler


class RegionHeads(nn.Module):
    """Class, box and mask of regions. Names of weights are torchvision's."""

    def __init__(self, settings: FasterRCNNHead | C4Head, backbone: Pyramid | Shared, classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.sampler = Sampler(settings.regions_per_image, 0.25)
        features = backbone.body.num_features
        if isinstance(settings, FasterRCNNHead):
            features = settings.hidden
            self.box_regions = AlignedRegions(settings.POSITIONS, backbone.strides)
            self.box_head = TwoMLPHead(backbone.channels * settings.POSITIONS**2, features)
        self.box_predictor = FastRCNNPredictor(features, 1 + classes)
        if isinstance(settings, FasterRCNNHead) and settings.masks:
            self.mask_regions = AlignedRegions(settings.MASK_POSITIONS, backbone.strides)
            layers = (backbone.channels,) * settings.MASK_LAYERS
            self.mask_head = MaskRCNNHeads(backbone.channels, layers, 1)
            self.mask_predictor = MaskRCNNPredictor(backbone.channels, backbone.channels, 1 + classes)

    def losses(
        self,
        backbone: Pyramid | Shared,
        maps: Sequence[Tensor],
        proposals: Sequence[Tensor],
        objects: Sequence[Objects],
    ) -> dict[str, Tensor]:
        """ "loss_classifier", "loss_box_reg" and, where there are masks, "loss_mask": (N,) each."""
        regions = box_head.sample_regions(proposals, objects, self.sampler)
        logits, deltas = self.boxes(backbone, maps, [each.boxes for each in regions])
        found = box_head.losses(logits, deltas, regions, objects)
        if self.settings.masks:
            kept = [(each, each.rows > 0) for each in regions]
            of_objects = [SampledRegions(each.boxes[at], each.rows[at], each.objects[at]) for each, at in kept]
            masks = self.masks(maps, [each.boxes for each in of_objects])
            found["loss_mask"] = mask_head.loss(masks, of_objects, objects)
        return found

    def detect(
        self,
        backbone: Pyramid | Shared,
        maps: Sequence[Tensor],
        proposals: Sequence[Tensor],
        regions: Tensor,
        limits: Limits,
    ) -> list[Detections]:
        """The answers of each image; see `box_head.detections`."""
        logits, deltas = self.boxes(backbone, maps, proposals)
        found = box_head.detections(logits, deltas, proposals, regions, limits)
        if not self.settings.masks:
            return found
        masks = self.masks(maps, [each.boxes for each in found])
        of_images = mask_head.probabilities(masks, [each.labels for each in found])
        return [replace(each, masks=mask) for each, mask in zip(found, of_images, strict=True)]

    def boxes(
        self, backbone: Pyramid | Shared, maps: Sequence[Tensor], boxes: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The logits (R, 1 + classes), and the boxes of each class, coded, (R, (1 + classes) * 4), of boxes (R, 4) of
        each image."""
        if isinstance(backbone, Shared):
            last = backbone.body.get_submodule(backbone.body.stage_names[-1])
            if self.training:  # else the keys are those of the last training batch
                set_region_keys(last, self.sampler.keys, [len(each) for each in boxes])
            features = last_stage_of(backbone, maps, boxes, self.settings.POSITIONS)
        else:
            features = self.box_head(self.box_regions(maps, boxes))
        return cast(tuple[Tensor, Tensor], self.box_predictor(features))

    def masks(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """The logits (R, 1 + classes, S, S) of the masks of boxes (R, 4) of each image."""
        found: Tensor = self.mask_predictor(self.mask_head(self.mask_regions(maps, boxes)))
        return found
