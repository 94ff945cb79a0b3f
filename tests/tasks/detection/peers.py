"""torchvision's detectors with random weights, and the same samples of anchors and regions for them and for ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from resnets.models.box_heads import RetinaNetHead
from resnets.models.catalog import find
from resnets.nn.stochastic import set_rng_keys
from resnets.tasks.detection.network import Detector, build
from resnets.tasks.detection.sampling import Sampler

# Fewer regions than by default, which take most of the time; of theirs, and of ours.
OPTIONS = {"min_size": 64, "max_size": 160}
THEIRS = {
    "box_batch_size_per_image": 32,
    "rpn_post_nms_top_n_train": 300,
    "rpn_post_nms_top_n_test": 60,
    "box_detections_per_img": 30,
}
OURS = {"regions_per_image": 32, "proposals": (300, 60), "max_boxes": 30}
KINDS = {"fasterrcnn": FasterRCNN, "maskrcnn": MaskRCNN, "retinanet": RetinaNet}


def theirs(name: str, classes: int = 90) -> nn.Module:
    """torchvision's detector `name` with frozen norms, in float64, with weights that give answers of many scores."""
    torch.manual_seed(0)
    kind, backbone_name, _ = name.split("_")
    dense: dict[str, Any] = {"returned_layers": [2, 3, 4], "extra_blocks": LastLevelP6P7(256, 256)}
    backbone = resnet_fpn_backbone(
        backbone_name=backbone_name, weights=None, norm_layer=FrozenBatchNorm2d, trainable_layers=5,
        **(dense if kind == "retinanet" else {}),
    )  # fmt: skip
    network: nn.Module = KINDS[kind](backbone, 1 + classes, **OPTIONS, **({} if kind == "retinanet" else THEIRS))
    for module in network.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.1)
    ends = (torchvision.models.resnet.Bottleneck, torchvision.models.resnet.BasicBlock)
    for block in network.modules():
        if isinstance(block, ends):
            (block.bn3 if hasattr(block, "bn3") else block.bn2).weight.uniform_(0.2, 0.5)
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if key.endswith(("cls_score.weight", "mask_fcn_logits.weight")):
                parameter.normal_(0, 0.15)
            if key.endswith(
                ("rpn.head.cls_logits.weight", "rpn.head.bbox_pred.weight", "box_predictor.bbox_pred.weight")
            ):
                parameter.normal_(0, 0.05)
            if key.endswith("cls_score.bias"):
                parameter[1:9] = 4  # so that several classes have a part of the probability
            if key == "head.classification_head.cls_logits.weight":
                parameter.normal_(0, 0.5)
            if key == "head.classification_head.cls_logits.bias":
                parameter.normal_(-3.5, 0.5).view(-1, 1 + classes)[:, 0] = -30  # the background is never an answer
    return network.double()


def ours(name: str, peer: nn.Module, classes: int = 90) -> Detector:
    """Our detector with the weights of `peer`."""
    spec = find(name)
    options: dict[str, Any] = OPTIONS | ({} if isinstance(spec.head, RetinaNetHead) else OURS)
    network = build(replace(spec, classes=classes, head=replace(spec.head, **options))).double()
    network.load_state_dict(peer.state_dict())
    return network


def share_samples(peer: Any, network: Detector, keys: Tensor) -> None:
    """Has `peer` take the anchors and regions that `network` chooses by `keys`."""
    set_rng_keys(network, keys)
    for part in ("rpn", "roi_heads"):
        if hasattr(peer, part):
            getattr(peer, part).fg_bg_sampler = Given(network.get_submodule(f"{part}.sampler"))  # type: ignore[arg-type]
    if hasattr(peer, "rpn"):
        peer.rpn.assign_targets_to_anchors = partial(_in_float64, peer.rpn.assign_targets_to_anchors)


def _in_float64(assign: Callable[..., Any], *given: Any) -> tuple[list[Tensor], list[Tensor]]:
    """torchvision's labels of anchors are float32, in which it would round the logits."""
    labels, boxes = assign(*given)
    return [each.double() for each in labels], boxes


class Given:
    """torchvision's sampler with our choice."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    def __call__(self, labels: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        objects: list[Tensor] = []
        others: list[Tensor] = []
        for of_image, sample in zip(labels, self.sampler(labels), strict=True):
            for masks, indices in (
                (objects, sample.objects[sample.has_object]),
                (others, sample.others[sample.has_other]),
            ):
                masks.append(torch.zeros_like(of_image, dtype=torch.uint8).index_fill_(0, indices, 1))
        return objects, others


def images(*sizes: tuple[int, int], seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(3, *size, generator=generator, dtype=torch.float64) for size in sizes]


def target(boxes: Sequence[Sequence[float]], labels: Sequence[int], size: tuple[int, int]) -> dict[str, Tensor]:
    """torchvision's target; the masks are ellipses in the boxes."""
    found = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)
    y, x = (torch.arange(side) + 0.5 for side in size)
    masks = torch.zeros(len(boxes), *size, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, found.tolist(), strict=True):
        across, down = (x - (x1 + x2) / 2) / (x2 - x1), (y - (y1 + y2) / 2) / (y2 - y1)
        mask[(across**2 + down[:, None] ** 2) <= 0.25] = 1
    return {"boxes": found, "labels": torch.tensor(labels, dtype=torch.int64), "masks": masks}
