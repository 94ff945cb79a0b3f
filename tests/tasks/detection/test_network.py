"""Detectors: each image by itself, whatever is in it; the same in training and evaluation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import resnets
from resnets.core.errors import UsageError
from resnets.models.box_heads import C4Head, FasterRCNNHead
from resnets.models.catalog import find
from resnets.models.memory import predict
from resnets.models.spec import Spec
from resnets.nn.stochastic import set_rng_keys
from resnets.tasks.detection.boxes import Limits, Objects
from resnets.tasks.detection.network import Detector, build
from tests.tasks.detection.small import HEADS, KEYS, SOME, inputs, losses, objects, small

KINDS = pytest.mark.parametrize("kind", HEADS)
PARTS = {
    "fasterrcnn": ["loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"],
    "maskrcnn": ["loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg"],
    "retinanet": ["classification", "bbox_regression"],
    "c4": ["loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"],
}


def gradients(network: Detector, found: dict[str, Tensor]) -> dict[str, Tensor]:
    network.zero_grad()
    torch.stack([value.sum() for value in found.values()]).sum().backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@KINDS
def test_no_image_depends_on_the_others_of_its_batch(kind: str) -> None:
    network, x = small(kind), inputs()
    state = torch.get_rng_state()
    whole = losses(network, x, SOME)
    assert torch.equal(torch.get_rng_state(), state)
    assert list(whole) == PARTS[kind]
    assert all(value.shape == (3,) and (value > 0).all() for value in whole.values())
    expected = gradients(network, whole)
    assert expected.keys() == {name for name, _ in network.named_parameters()}
    parts = [losses(network, x[rows], SOME[rows], KEYS[rows]) for rows in (slice(0, 1), slice(1, 3))]
    for name, value in whole.items():
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), value, rtol=1e-12, atol=1e-14)
    halves = [gradients(network, part) for part in parts]
    for name, value in expected.items():
        torch.testing.assert_close(halves[0][name] + halves[1][name], value, rtol=1e-10, atol=1e-12)


@KINDS
def test_training_and_evaluation_compute_the_same(kind: str) -> None:
    network, x = small(kind), inputs()
    for compute in (lambda: losses(network, x, SOME), lambda: network.detect(x)):
        first, second = (compute() for _ in (network.train(), network.eval()))
        for a, b in zip(_tensors(first), _tensors(second), strict=True):
            assert torch.equal(a, b)


def _tensors(found: Any) -> list[Tensor]:
    if isinstance(found, dict):
        return list(found.values())
    return [value for each in found for value in vars(each).values() if value is not None]


def test_the_sample_is_that_of_the_images_key() -> None:
    network, x = small("fasterrcnn"), inputs()
    first, again, other = (losses(network, x, SOME, keys) for keys in (KEYS, KEYS, KEYS + 1))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    for name in ("loss_objectness", "loss_classifier"):  # of boxes there may be fewer than are taken
        assert (first[name] != other[name]).all()
    set_rng_keys(network, None)  # as torchvision: from torch's own generator
    torch.manual_seed(0)
    drawn = network.losses(x, SOME)
    torch.manual_seed(0)
    assert all(torch.equal(value, drawn[name]) for name, value in network.losses(x, SOME).items())


HARD = {
    "nothing": objects(),
    "a pixel": objects((50, 20, 51, 21)),
    "a part of a pixel": objects((50.2, 20.2, 50.21, 20.25)),
    "the corner": objects((95, 63, 96, 64)),
    "a box without an area": objects((20, 20, 20, 40)),
    "a box without an area among others": objects((20, 20, 20, 40), (30, 10, 70, 50), (5, 5, 2, 60)),
    "a line": objects((0, 31, 96, 32)),
    "the same twice": objects((10, 10, 50, 50), (10, 10, 50, 50)),
    "many": objects(*[(3 * i % 80, 7 * i % 50, 3 * i % 80 + 6 + i % 9, 7 * i % 50 + 5 + i % 8) for i in range(500)]),
}


@KINDS
@pytest.mark.parametrize("name", HARD)
def test_whatever_is_in_an_image_the_losses_are_finite(name: str, kind: str) -> None:
    network, x = small(kind), inputs(2)
    found = losses(network, x, [HARD[name], HARD["nothing"]], KEYS[:2])
    for value in found.values():
        assert value.isfinite().all()
        assert (value >= 0).all()
    assert all(value.isfinite().all() for value in gradients(network, found).values())
    boxes = [part for part in found if "box" in part or "mask" in part]
    assert all(found[part][1] == 0 for part in boxes)  # an image without objects has no boxes to learn


@KINDS
def test_a_box_without_an_area_is_no_object(kind: str) -> None:
    network, x = small(kind), inputs(1)
    with_one = objects((30, 10, 70, 50), (20, 20, 20, 40))
    without = Objects(with_one.boxes[:1], with_one.labels[:1], None if with_one.masks is None else with_one.masks[:1])
    first, second = (losses(network, x, [each], KEYS[:1]) for each in (with_one, without))
    assert all(torch.equal(value, second[part]) for part, value in first.items())


@KINDS
def test_detections_are_within_the_region_and_the_limits(kind: str) -> None:
    network, x = small(kind), inputs()
    regions = torch.tensor([[0, 0, 96, 64], [10, 5, 70, 60], [32, 0, 96, 40]])
    limits = Limits(min_score=0.01, nms=0.4, max_boxes=17)
    for found, (x1, y1, x2, y2) in zip(network.detect(x, regions, limits=limits), regions.tolist(), strict=True):
        boxes = found.boxes
        assert 1 <= len(boxes) <= 17
        assert (boxes >= torch.tensor([x1, y1, x1, y1])).all()
        assert (boxes <= torch.tensor([x2, y2, x2, y2])).all()
        assert set(found.labels.tolist()) <= {0, 1, 2}
        assert (found.scores.diff() <= 0).all()
        assert found.scores[-1] > 0.01
        if kind == "maskrcnn":
            assert found.masks is not None
            assert found.masks.shape == (len(boxes), 28, 28)
            assert 0 <= found.masks.min() <= found.masks.max() <= 1
    assert all(len(found.boxes) == 0 for found in network.detect(x, limits=replace(limits, min_score=0.9999)))


@KINDS
@pytest.mark.parametrize("size", [(33, 50), (64, 65), (1, 200), (31, 31)])
def test_inputs_of_any_size(kind: str, size: tuple[int, int]) -> None:
    network, x = small(kind), inputs(1, size)
    found = losses(network, x, [objects((0, 0, 20, 1), size=size)], KEYS[:1])
    assert all(value.isfinite().all() for value in found.values())
    (answer,) = network.detect(x)
    assert (answer.boxes[:, 2:] <= torch.tensor([size[1], size[0]])).all()


@KINDS
def test_bf16_and_channels_last(kind: str) -> None:
    network, x = small(kind).float(), inputs().float()
    expected = losses(network, x, SOME)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        found = losses(network, x, SOME)
        detected = network.detect(x)
    for name, value in found.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected[name], rtol=0.3, atol=0.1)
    assert all(each.boxes.dtype == each.scores.dtype == torch.float32 for each in detected)
    assert all(value.isfinite().all() for value in gradients(network, found).values())


@KINDS
def test_recomputed_and_frozen_parts(kind: str) -> None:
    network, x = small(kind), inputs()
    expected = gradients(network, losses(network.train(), x, SOME))
    network.recomputed = {"layer1": (1,), "layer4": (1,)}
    assert network.recomputed == {"layer1": (1,), "layer4": (1,)}
    for name, value in gradients(network, losses(network, x, SOME)).items():
        torch.testing.assert_close(value, expected[name])
    network.freeze(2)
    kept = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert kept == {
        name
        for name, _ in network.named_parameters()
        if name.startswith(("backbone.body.conv1", "backbone.body.layer1"))
    }
    groups = network.parameter_groups(lr=1.0, layer_decay=0.5)
    assert [group["lr"] for group in groups] == sorted(group["lr"] for group in groups)
    assert groups[-1]["lr"] == 1.0
    assert all(not name.startswith("backbone.body.") for name in groups[-1]["param_names"])


@KINDS
def test_other_classes(kind: str) -> None:
    network, x = small(kind), inputs()
    network.reset_classifier(7)
    assert network.num_classes == network.spec.classes == network.backbone.body.spec.classes == 7
    built = build(network.spec).state_dict()
    assert {name: value.shape for name, value in network.state_dict().items()} == {n: v.shape for n, v in built.items()}
    losses(network, x, [replace(each, labels=each.labels + 4) for each in SOME])
    network.detect(x)
    with pytest.raises(UsageError, match="A detector needs classes"):
        network.reset_classifier(0)


@pytest.mark.parametrize("kind", ["fasterrcnn", "c4"])
@pytest.mark.parametrize(
    "fields",
    [
        {"preactivation": True, "norm": "group"},
        {"stem": "deep", "shortcut": "D", "block": "bottleneck"},
        {"gate": "se", "antialias": "blur"},
        {"output_stride": 16},
        {"drop_path": 0.3, "norm": "batch"},
        {"channels": 1},
    ],
    ids=str,
)
def test_other_residual_networks(fields: dict[str, Any], kind: str) -> None:
    network = small(kind, **fields)
    found = losses(network, inputs()[:, : network.spec.channels], SOME)
    assert gradients(network, found).keys() == {name for name, _ in network.named_parameters()}
    assert len(network.eval().detect(inputs()[:, : network.spec.channels])) == 3


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"classes": 0, "head": FasterRCNNHead()}, "A detector needs classes"),
        ({"depths": (1,), "widths": (8,), "head": C4Head()}, "shares the stages before the last"),
        ({"depths": (1, 1, 1), "widths": (8, 8, 8), "head": FasterRCNNHead()}, "takes sizes for 4 maps"),
        ({"head": C4Head(anchor_sizes=((32,), (64,)))}, "takes sizes for 1 map"),
        ({"head": FasterRCNNHead(anchor_sizes=((32,), (64,), (128,), (256,), (512, 600)))}, "as many for each"),
        ({"head": FasterRCNNHead(aspect_ratios=(0.0,))}, "aspect_ratios above 0"),
        ({"head": FasterRCNNHead(candidates=(0, 1))}, "candidates, proposals"),
        ({"head": FasterRCNNHead(min_score=1.0)}, "min_score must be in"),
        ({"head": FasterRCNNHead(min_size=2000)}, "min_size 2000 must be from 1 to"),
    ],
)
def test_impossible_heads_are_refused(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Spec(**choices)


def test_what_is_no_detector_is_refused() -> None:
    with pytest.raises(UsageError, match="needs a model with a head for boxes, and this one has LinearHead"):
        build(Spec())
    with pytest.raises(UsageError, match="this one has 3 dimensions"):
        build(Spec(dimensions=3, head=FasterRCNNHead()))
    with pytest.raises(UsageError, match="depends on what it finds"):
        predict(find("fasterrcnn_resnet50_fpn"), 800, 1)


def test_first_weights_expect_few_objects() -> None:
    network = resnets.create("retinanet_resnet18_fpn", classes=3)
    assert isinstance(network, Detector)
    bias = network.get_parameter("head.classification_head.cls_logits.bias")
    torch.testing.assert_close(bias.sigmoid(), torch.full_like(bias, 0.01))
    network = resnets.create("maskrcnn_resnet18_fpn", classes=3, hidden=64)
    assert isinstance(network, Detector)
    stds = {
        "rpn.head.conv.0.0": 0.01,
        "roi_heads.box_predictor.cls_score": 0.01,
        "roi_heads.box_predictor.bbox_pred": 0.001,
        "backbone.fpn.layer_blocks.0.0": (9 * 256) ** -0.5,
        "roi_heads.mask_head.0.0": (2 / (9 * 256)) ** 0.5,
        "roi_heads.mask_predictor.conv5_mask": (2 / (4 * 256)) ** 0.5,
    }
    for name, std in stds.items():
        assert network.get_parameter(f"{name}.weight").std().item() == pytest.approx(std, rel=0.1), name
    assert all(p.isfinite().all() for p in network.parameters())
    assert not [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
