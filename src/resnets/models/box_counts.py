"""Layers of the heads of detectors, counted without building them.

A layer that is computed on several maps, or for each region, is one layer: its shape is that on the finest map, or of
one region, and its multiply-adds are those of all maps, or of all proposals in evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from resnets.models.box_heads import BoxHead, C4Head, FasterRCNNHead, RetinaNetHead, anchors_per_place
from resnets.models.head_counts import Maps
from resnets.models.walk import Layer, Size, Walk, linear, strided


def regions_of(head: C4Head) -> tuple[Size, int]:
    """The size of the input of the last stage, and for how many regions it is computed."""
    return (head.POSITIONS,) * 2, head.proposals[1]


def box_layers(walk: Walk, head: BoxHead, maps: Maps) -> Iterator[Layer]:
    """The layers of `head` on the feature maps of the stages."""
    if isinstance(head, C4Head):
        channels, size = maps[-2]
        yield from _proposal_network(walk, head, channels, [size])
        yield from _box_predictor(walk, head, maps[-1][0])
        return
    further = 1 if isinstance(head, FasterRCNNHead) else 2
    used = maps if isinstance(head, FasterRCNNHead) else maps[1:]
    for number, (inputs, size) in enumerate(used):
        yield walk.conv(f"backbone.fpn.inner_blocks.{number}.0", inputs, head.pyramid, 1, bias=True, size=size)
    for number, (_, size) in enumerate(used):
        yield walk.conv(f"backbone.fpn.layer_blocks.{number}.0", head.pyramid, head.pyramid, 3, bias=True, size=size)
    sizes = [size for _, size in used]
    for number in range(further):
        if isinstance(head, RetinaNetHead):
            name = f"backbone.fpn.extra_blocks.p{6 + number}"
            yield walk.conv(name, head.pyramid, head.pyramid, 3, stride=2, bias=True, size=sizes[-1])
        sizes.append(strided(sizes[-1], 2))
    if isinstance(head, RetinaNetHead):
        yield from _dense_head(walk, head, sizes)
        return
    yield from _proposal_network(walk, head, head.pyramid, sizes)
    inputs = head.pyramid * head.POSITIONS**2
    yield linear("roi_heads.box_head.fc6", inputs, head.hidden, head.proposals[1])
    yield linear("roi_heads.box_head.fc7", head.hidden, head.hidden, head.proposals[1])
    yield from _box_predictor(walk, head, head.hidden)
    if head.masks:
        yield from _mask_head(walk, head)


def _proposal_network(
    walk: Walk, head: FasterRCNNHead | C4Head, channels: int, sizes: Sequence[Size]
) -> Iterator[Layer]:
    anchors = anchors_per_place(head)
    yield _on_maps(walk, "rpn.head.conv.0.0", channels, channels, 3, sizes)
    yield _on_maps(walk, "rpn.head.cls_logits", channels, anchors, 1, sizes)
    yield _on_maps(walk, "rpn.head.bbox_pred", channels, 4 * anchors, 1, sizes)


def _box_predictor(walk: Walk, head: FasterRCNNHead | C4Head, inputs: int) -> Iterator[Layer]:
    rows = 1 + walk.spec.classes
    yield linear("roi_heads.box_predictor.cls_score", inputs, rows, head.proposals[1])
    yield linear("roi_heads.box_predictor.bbox_pred", inputs, 4 * rows, head.proposals[1])


def _mask_head(walk: Walk, head: FasterRCNNHead) -> Iterator[Layer]:
    size, channels, regions = (head.MASK_POSITIONS,) * 2, head.pyramid, head.max_boxes
    for number in range(head.MASK_LAYERS):
        layer = walk.conv(f"roi_heads.mask_head.{number}.0", channels, channels, 3, bias=True, size=size)
        yield replace(layer, multiply_adds=regions * layer.multiply_adds)
    doubled = tuple(2 * side for side in size)
    layer = walk.conv("roi_heads.mask_predictor.conv5_mask", channels, channels, 2, bias=True, size=size)
    yield replace(
        layer, kind="transposed conv 2x2/2", shape=(channels, *doubled), multiply_adds=regions * layer.multiply_adds
    )
    rows = 1 + walk.spec.classes
    layer = walk.conv("roi_heads.mask_predictor.mask_fcn_logits", channels, rows, 1, bias=True, size=doubled)
    yield replace(layer, multiply_adds=regions * layer.multiply_adds)


def _dense_head(walk: Walk, head: RetinaNetHead, sizes: Sequence[Size]) -> Iterator[Layer]:
    anchors, channels = anchors_per_place(head), head.pyramid
    outputs = {
        "classification_head": ("cls_logits", anchors * (1 + walk.spec.classes)),
        "regression_head": ("bbox_reg", 4 * anchors),
    }
    for name, (last, rows) in outputs.items():
        for number in range(head.LAYERS):
            yield _on_maps(walk, f"head.{name}.conv.{number}.0", channels, channels, 3, sizes)
        yield _on_maps(walk, f"head.{name}.{last}", channels, rows, 3, sizes)


def _on_maps(walk: Walk, name: str, inputs: int, outputs: int, kernel: int, sizes: Sequence[Size]) -> Layer:
    layers = [walk.conv(name, inputs, outputs, kernel, bias=True, size=size) for size in sizes]
    return replace(layers[0], multiply_adds=sum(layer.multiply_adds for layer in layers))
