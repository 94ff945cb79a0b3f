"""RetinaNet: class and box of every anchor (Lin et al. 2017, 1708.02002)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.retinanet import RetinaNetClassificationHead, RetinaNetRegressionHead
from torchvision.ops import sigmoid_focal_loss

from resnets.models.box_heads import RetinaNetHead, anchors_per_place
from resnets.tasks.detection.box_head import best
from resnets.tasks.detection.boxes import ANCHOR_CODER, BETWEEN, Detections, Limits, Objects, clip, exact, match

LOW, HIGH = 0.4, 0.5  # IoU with an object below which an anchor is background, and from which it stands for it


class DenseHead(nn.Module):
    """Logits and boxes of all anchors on the maps of a pyramid. Names of weights are torchvision's."""

    def __init__(self, settings: RetinaNetHead, channels: int, classes: int) -> None:
        super().__init__()
        self.settings = settings
        anchors = anchors_per_place(settings)
        self.classification_head = RetinaNetClassificationHead(channels, anchors, 1 + classes)
        self.regression_head = RetinaNetRegressionHead(channels, anchors)

    def losses(self, maps: Sequence[Tensor], anchors: Tensor, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """ "classification" and "bbox_regression", (N,) each: sums over the anchors of an image, divided by how many
        stand for objects (sections 3.1 and 4.1)."""
        logits, deltas = self._outputs(maps)
        of_classes, of_boxes = [], []
        for own, coded, of_image in zip(logits, deltas, objects, strict=True):
            matched = match(of_image.boxes.to(anchors), anchors, low=LOW, high=HIGH, keep_best=True)
            is_object, number = (matched >= 0)[:, None], matched.clamp(min=0)
            count = is_object.sum().clamp(min=1)
            rows, truth = torch.zeros_like(number), anchors
            if len(of_image.boxes):
                rows = of_image.labels[number] + 1
                truth = of_image.boxes.to(anchors)[number].where(is_object, anchors)
            wanted = torch.zeros_like(own).scatter_(1, rows[:, None], is_object.to(own.dtype))
            focal = sigmoid_focal_loss(own, wanted, reduction="none")
            of_classes.append((focal * (matched != BETWEEN)[:, None]).sum() / count)
            distance = F.l1_loss(coded, ANCHOR_CODER.encode_single(truth, anchors), reduction="none")
            of_boxes.append((distance * is_object).sum() / count)
        return {"classification": torch.stack(of_classes), "bbox_regression": torch.stack(of_boxes)}

    @torch.no_grad()
    def detect(self, maps: Sequence[Tensor], anchors: Tensor, regions: Tensor, limits: Limits) -> list[Detections]:
        """The answers of each image.

        Args:
            regions: (N, 4) where the image is on the input; boxes are cut at its edges.
        """
        counts = [each.shape[2] * each.shape[3] * anchors_per_place(self.settings) for each in maps]
        logits, deltas = (each.split(counts, dim=1) for each in self._outputs(maps))
        levels = list(zip(logits, deltas, anchors.split(counts), strict=True))
        return [
            self._detect([(own[number], coded[number], at) for own, coded, at in levels], region, limits)
            for number, region in enumerate(regions)
        ]

    def _detect(self, levels: Sequence[tuple[Tensor, Tensor, Tensor]], region: Tensor, limits: Limits) -> Detections:
        """The answers of one image, of logits, boxes and anchors of each map."""
        boxes, labels, scores = [], [], []
        for logits, deltas, anchors in levels:
            of_map = logits.sigmoid()[:, 1:]
            place, label = torch.where(of_map > limits.min_score)
            score, order = of_map[place, label].topk(min(self.settings.candidates, len(place)))
            place, label = place[order], label[order]
            found = ANCHOR_CODER.decode_single(deltas[place], anchors[place])
            boxes.append(clip(found[None], region[None])[0])
            labels.append(label)
            scores.append(score)
        return best(torch.cat(boxes), torch.cat(labels), torch.cat(scores), limits)

    def _outputs(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The logits (N, A, 1 + classes) and the boxes, coded, (N, A, 4) of all anchors."""
        return exact(self.classification_head(maps)), exact(self.regression_head(maps))
