"""Faster R-CNN as in He et al. 2015, appendix A, against a reference made of torchvision's operators."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_convert, clip_boxes_to_image, nms, roi_pool

from resnets.models.box_heads import C4Head
from resnets.nn.stochastic import set_rng_keys
from resnets.tasks.detection.boxes import Detections, Limits
from tests.tasks.detection.small import KEYS, SIZE, inputs, objects, small

RATIOS, SIZES = (0.5, 1.0, 2.0), (32, 64, 128, 256, 512)


def moved(anchors: Tensor, deltas: Tensor) -> Tensor:
    x, y, w, h = box_convert(anchors, "xyxy", "cxcywh").unbind(1)
    dx, dy, dw, dh = deltas.unbind(1)
    found: Tensor = box_convert(torch.stack([x + dx * w, y + dy * h, w * dw.exp(), h * dh.exp()], 1), "cxcywh", "xyxy")
    return found


def reference(network: Any, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The proposals of one image, and of each the pooled features, the logits and the boxes."""
    body, rpn, predictor = network.backbone.body, network.rpn.head, network.roi_heads.box_predictor
    shared = body.layer3(body.layer2(body.layer1(body.maxpool(body.act(body.bn1(body.conv1(image)))))))
    hidden = F.relu(F.conv2d(shared, rpn.conv[0][0].weight, rpn.conv[0][0].bias, padding=1))
    rows, columns = shared.shape[2:]
    logits = rpn.cls_logits(hidden)[0].permute(1, 2, 0).flatten()
    deltas = rpn.bbox_pred(hidden)[0].view(-1, 4, rows, columns).permute(2, 3, 0, 1).reshape(-1, 4)
    anchors = []
    for y in range(rows):
        for x in range(columns):
            for ratio in RATIOS:
                for size in SIZES:
                    w, h = (round(side / 2) for side in (size * ratio**-0.5, size * ratio**0.5))
                    anchors.append([16 * x - w, 16 * y - h, 16 * x + w, 16 * y + h])
    boxes = clip_boxes_to_image(moved(torch.tensor(anchors).double(), deltas), SIZE)
    kept = nms(boxes, logits, 0.7)[:300]
    proposals = boxes[kept]
    pooled = roi_pool(shared, [proposals], 14, 1 / 16)
    features = body.layer4(pooled).mean((2, 3))
    regressed = predictor.bbox_pred(features).view(len(proposals), -1, 4) / torch.tensor([10, 10, 5, 5])
    return proposals, features, predictor.cls_score(features), regressed


def answers(proposals: Tensor, logits: Tensor, deltas: Tensor, limits: Limits) -> Detections:
    scores, found = logits.softmax(1), []
    for row in range(1, logits.shape[1]):
        boxes = clip_boxes_to_image(moved(proposals, deltas[:, row]), SIZE)
        kept = nms(boxes, scores[:, row], limits.nms).tolist()
        found += [(scores[at, row], row - 1, boxes[at]) for at in kept if scores[at, row] > limits.min_score]
    found.sort(key=lambda each: -float(each[0]))
    best, labels, boxes = zip(*found[: limits.max_boxes], strict=True)
    return Detections(torch.stack(boxes), torch.tensor(labels), torch.stack(best))


def test_region_features_head_outputs_and_answers() -> None:
    network, x = small("c4", block="bottleneck", head=C4Head()).eval(), inputs(1)
    limits = Limits(min_score=0.1, nms=0.5, max_boxes=40)
    with torch.no_grad():
        proposals, features, logits, deltas = reference(network, x)
        assert len(proposals) > 20
        own_logits, own_deltas = network.roi_heads.boxes(network.backbone, network.backbone(x), [proposals])
        torch.testing.assert_close(own_logits, logits, rtol=0, atol=1e-9)
        scale = torch.tensor([10, 10, 5, 5])
        torch.testing.assert_close(own_deltas.view(deltas.shape) / scale, deltas, rtol=0, atol=1e-9)
        kept: list[Tensor] = []
        network.roi_heads.box_predictor.register_forward_hook(lambda module, given, output: kept.append(given[0]))
        (found,) = network.detect(x, limits=limits)
        torch.testing.assert_close(kept[0], features, rtol=0, atol=1e-9)
        expected = answers(proposals, logits, deltas, limits)
    assert len(expected.boxes) > 5
    assert torch.equal(found.labels, expected.labels)
    torch.testing.assert_close(found.scores, expected.scores, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.boxes, expected.boxes, rtol=0, atol=1e-6)


def test_regions_are_dropped_by_keys_of_their_own() -> None:
    network, x = small("c4", drop_path=0.5).train(), inputs(2)
    proposals = [torch.tensor([[0.0, 0, 40, 40]]).double().repeat(count, 1) for count in (40, 30)]

    def logits(rows: slice) -> Tensor:
        set_rng_keys(network, KEYS[rows])
        maps = network.backbone(x[rows])
        return network.roi_heads.boxes(network.backbone, maps, proposals[rows])[0]

    whole = logits(slice(0, 2))
    for image in whole.split([40, 30]):
        assert len(image.detach().round(decimals=9).unique(dim=0)) == 2  # the last stage's block is dropped, or not
    parts = [logits(slice(0, 1)), logits(slice(1, 2))]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_the_last_stage_is_computed_for_regions_alone() -> None:
    network = small("c4")
    assert network.backbone.strides == [16]
    assert not any(name.startswith("roi_heads.box_head") for name in network.state_dict())
    calls: list[int] = []
    network.get_submodule("backbone.body.layer4").register_forward_hook(
        lambda module, given, output: calls.append(len(given[0]))
    )
    set_rng_keys(network, KEYS[:1])
    network.losses(inputs(1), [objects((4, 6, 40, 38))])
    assert calls == [24]
