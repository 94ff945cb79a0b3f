"""Every network of the catalogue: it runs, and its counts are right."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import resnets
from resnets.core.config import decode, encode
from resnets.core.errors import UsageError
from resnets.models import counts
from resnets.models.catalog import CATALOG, find
from resnets.models.heads import DeepLabHead, FCNHead, FPNHead, Head, LinearHead, PixelHead
from resnets.models.initialize import create
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec
from resnets.tasks.detection.network import Detector
from resnets.tasks.localization.network import Localizer
from resnets.tasks.networks import build_network
from resnets.tasks.segmentation.network import SegmentationNet
from tests.models.kinds import each, without_detectors

SIDE = 17
DEEPEST = ("cifar_resnet1202", "cifar_preact1001")
# He et al. 2015 as the reference implementations count them, and the successors' own papers or implementations.
PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet50_v1": 25_557_032,
    "resnet101": 44_549_160,
    "resnet101_v1": 44_549_160,
    "resnet152": 60_192_808,
    "resnet152_v1": 60_192_808,
    "resnext50_32x4d": 25_028_904,
    "seresnet50": 28_088_024,
    "resnet50d": 25_576_264,
}
MILLIONS = {  # table 6
    "cifar_resnet20": 0.27,
    "cifar_resnet32": 0.46,
    "cifar_resnet44": 0.66,
    "cifar_resnet56": 0.85,
    "cifar_resnet110": 1.7,
    "cifar_resnet1202": 19.4,
    "cifar_preact164": 1.7,
    "cifar_preact1001": 10.2,
    "wrn28_10": 36.5,
    "wrn40_4": 8.9,
}
BILLIONS = {  # table 1, for the paper's own bottlenecks
    "resnet18": 1.8,
    "resnet34": 3.6,
    "resnet50_v1": 3.8,
    "resnet101_v1": 7.6,
    "resnet152_v1": 11.3,
}


def on_meta(spec: Spec) -> ResNet | SegmentationNet | Detector | Localizer:
    with torch.device("meta"):
        return build_network(spec)


def run_forward_and_backward(spec: Spec, size: int) -> ResNet | SegmentationNet | Detector | Localizer:
    network = resnets.create(spec)
    logits = network(torch.randn(2, 3, size, size))
    assert logits.shape == ((2, spec.classes) if isinstance(spec.head, LinearHead) else (2, spec.classes, size, size))
    assert logits.isfinite().all()
    logits.square().sum().backward()
    return network


@pytest.mark.parametrize("name", each())
def test_every_network_of_one_block_a_stage_runs_forward_and_backward(name: str) -> None:
    spec = replace(CATALOG[name], depths=(1,) * len(CATALOG[name].depths))
    network = run_forward_and_backward(spec, max(8, spec.least_size) if spec.usual_size == 32 else 33)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters() if p.requires_grad)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in without_detectors() if n not in DEEPEST])
def test_every_network_runs_forward_and_backward(name: str) -> None:
    spec = CATALOG[name]
    network = run_forward_and_backward(spec, max(8, spec.least_size) if spec.usual_size == 32 else 64)
    # At this size a batch has few positions, so that the gradients of very deep networks overflow.
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


@pytest.mark.slow
@pytest.mark.parametrize("name", DEEPEST)
def test_the_deepest_networks_run_at_small_size(name: str) -> None:
    network = create(CATALOG[name])
    network(torch.randn(2, 3, 4, 4)).square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("name", each())
def test_counts_are_those_of_the_built_network(name: str) -> None:
    spec = CATALOG[name]
    network = on_meta(spec)
    own = {k.removeprefix("backbone."): p.numel() for k, p in network.named_parameters()}
    listed = {layer.name: layer.parameters for layer in counts.layers(spec, spec.usual_size)}
    by_layer: dict[str, int] = {}
    for key, number in own.items():
        layer = key.rpartition(".")[0]
        by_layer[layer] = by_layer.get(layer, 0) + number
    assert listed == by_layer
    assert counts.parameters(spec) == sum(own.values())


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", each(n for n in CATALOG if n not in DEEPEST))
def test_multiply_adds_are_what_a_profiler_counts(name: str, whole: bool) -> None:
    spec = replace(CATALOG[name], depths=tuple(depth if whole else min(2, depth) for depth in CATALOG[name].depths))
    with FlopCounterMode(display=False) as profiler:
        on_meta(spec).eval()(torch.empty(1, 3, spec.usual_size, spec.usual_size, device="meta"))
    assert counts.multiply_adds(spec, spec.usual_size) == pytest.approx(profiler.get_total_flops() / 2, rel=0.01)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_parameters_are_the_references(name: str, parameters: int) -> None:
    assert counts.parameters(CATALOG[name]) == parameters


@pytest.mark.parametrize(("name", "millions"), MILLIONS.items())
def test_parameters_are_the_papers(name: str, millions: float) -> None:
    assert counts.parameters(CATALOG[name]) / 1e6 == pytest.approx(millions, rel=0.02)


@pytest.mark.parametrize(("name", "billions"), BILLIONS.items())
def test_multiply_adds_are_the_papers(name: str, billions: float) -> None:
    # The paper rounds to one digit behind the point and leaves small layers out.
    assert counts.multiply_adds(CATALOG[name], 224) / 1e9 == pytest.approx(billions, abs=0.07)


@pytest.mark.parametrize("name", CATALOG)
def test_a_spec_survives_json(name: str) -> None:
    spec = CATALOG[name]
    assert decode(Spec, json.loads(json.dumps(encode(spec)))) == spec


@pytest.mark.parametrize("dimensions", [1, 3])
@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnet50d",
        "seresnet50",
        "cifar_preact110",
        "cifar_preact164",
        "cifar_fast",
        "resnet14t",
        "resnetblur50",
        "resnetaa34d",
        "resnetrs50",
        "resnetv2_18",
        "resnetv2_50x1_bit",
    ],
)
def test_whole_networks_work_on_sequences_and_volumes(name: str, dimensions: int) -> None:
    spec = replace(CATALOG[name], dimensions=dimensions, depths=(1,) * len(CATALOG[name].depths), channels=2, classes=3)
    network = create(spec)
    logits = network(torch.randn(2, 2, *[max(SIDE, spec.least_size)] * dimensions))
    logits.sum().backward()
    assert logits.shape == (2, 3)
    assert counts.parameters(spec) == sum(p.numel() for p in network.parameters())
    with FlopCounterMode(display=False) as profiler:
        network.eval()(torch.randn(1, 2, *[max(SIDE, spec.least_size)] * dimensions))
    assert counts.multiply_adds(spec, max(SIDE, spec.least_size)) == pytest.approx(
        profiler.get_total_flops() / 2, rel=0.01
    )


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("fcn_resnet18", FCNHead()),
        ("fcn_resnext50_32x4d", FCNHead(auxiliary=True)),
        ("fcn_resnet50d", FCNHead()),
        ("fcn_resnetv2_50", FCNHead(auxiliary=True)),
        ("fcn_resnetrs50", FCNHead()),
        ("fcn_resnetaa50", FCNHead(auxiliary=True)),
        ("deeplabv3_resnet18", DeepLabHead()),
        ("deeplabv3_resnetv2_50", DeepLabHead(auxiliary=True)),
        ("fpn_resnet18", FPNHead()),
        ("fcn_resnet50d", FPNHead()),
        ("fpn_resnetv2_50", FPNHead(pyramid=96, channels=36)),
    ],
    ids=str,
)
def test_counts_of_heads_for_pixels_on_rectangles(name: str, head: PixelHead) -> None:
    spec = replace(find(name), head=head, channels=2, classes=11)
    network = on_meta(spec).eval()
    assert isinstance(network, SegmentationNet)
    size = (65, 98)
    by_layer: dict[str, int] = {}
    for key, parameter in network.named_parameters():
        layer = key.removeprefix("backbone.").rpartition(".")[0]
        by_layer[layer] = by_layer.get(layer, 0) + parameter.numel()
    assert {layer.name: layer.parameters for layer in counts.layers(spec, size)} == by_layer

    shapes: dict[str, tuple[int, ...]] = {}
    for key, module in network.named_modules():
        module.register_forward_hook(
            lambda module, inputs, output, key=key: shapes.update({key.removeprefix("backbone."): tuple(output.shape)})
        )
    with FlopCounterMode(display=False) as profiler:
        network.all_logits(torch.empty(1, 2, *size, device="meta"))
    assert counts.multiply_adds(spec, size) == pytest.approx(profiler.get_total_flops() / 2, rel=1e-6)
    hooked = {layer.name: shapes[layer.name][1:] for layer in counts.layers(spec, size)}
    assert {layer.name: layer.shape for layer in counts.layers(spec, size)} == hooked


def test_frozen_norms_have_no_parameters() -> None:
    spec = replace(CATALOG["resnet18"], norm="frozen")
    assert counts.parameters(spec) == sum(p.numel() for p in on_meta(spec).parameters())
    assert [la.parameters for la in counts.layers(spec, 32) if la.kind == "frozen norm"] == [0] * 20


def test_deeper_branches_are_dropped_more_often() -> None:
    rates = [block.drop_path for _, block in Spec(depths=(2, 2), widths=(8, 16), drop_path=0.5).blocks()]
    assert rates == [0.125, 0.25, 0.375, 0.5]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"depths": (2, 2)}, "one number for each stage"),
        ({"depths": ()}, "one number"),
        ({"dimensions": 4}, "1, 2 or 3"),
        ({"drop_path": 1.0}, r"\[0, 1\)"),
        ({"groups": 32}, "belong to bottlenecks"),
        ({"shortcut": "none", "drop_path": 0.1}, "plain net"),
        ({"shortcut": "A", "stem_width": 128}, "shortcut A can add"),
        ({"output_stride": 7}, "choose from 4, 8, 16, 32"),
        ({"channels": 0}, "1 or more"),
        ({"classes": -1}, "0 \\(no classifier\\) or more"),
        ({"pool": "none"}, "needs a pool"),
        ({"classes": 0, "head": FCNHead()}, "needs classes"),
        ({"head": DeepLabHead(rates=())}, "head.rates takes dilations of 1 or more"),
        ({"head": DeepLabHead(rates=(6, 0))}, r"not \[6, 0\]"),
        ({"head": FPNHead(channels=0)}, "An FPN head needs pyramid and channels of 1 or more"),
        ({"head": FPNHead(dropout=1.0)}, r"dropout in \[0, 1\)"),
        ({"norm_eps": 0.0}, "norm_eps"),
        ({"stem": "deep", "stem_width": 7}, "even"),
        ({"stem": "tiered", "stem_width": 20}, "a multiple of 8, not 20"),
        ({"stride_in": "max pool", "block": "bottleneck"}, "belongs to basic blocks"),
        ({"stride_in": "max pool", "preactivation": True}, "belongs to basic blocks"),
        ({"stride_in": "max pool", "shortcut": "B"}, "needs a shortcut that pools too"),
        ({"stem": "cifar", "stem_pool": "conv"}, "stem_pool 'conv' belongs to a stem of stride 4; cifar has another"),
        ({"stem_pool": "conv", "preactivation": True}, "which pre-activation nets have later"),
        ({"stem_pool": "conv", "antialias": "blur"}, "antialias has its own pool in the stem, not stem_pool 'conv'"),
        ({"antialias": "blur", "preactivation": True}, "antialias takes the stride of 3x3 convolutions"),
        ({"antialias": "average", "stride_in": "1x1", "block": "bottleneck"}, "it needs stride_in '3x3'"),
        ({"antialias": "blur", "stem": "whitened"}, "another stem than whitened"),
        ({"shares_first_activation": False}, "belongs to pre-activation nets"),
    ],
)
def test_impossible_specs_are_refused(choices: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Spec(**choices)  # type: ignore[arg-type]


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    for name, near in {
        "resnet_50": "resnet50",
        "fcn_resnet_34": "fcn_resnet34",
        "fnc_resnet50": "fcn_resnet50",
    }.items():
        with pytest.raises(UsageError, match=f"did you mean .*{near}"):
            find(name)


def test_every_classifier_on_imagenet_has_networks_for_segmentation() -> None:
    heads: dict[str, tuple[Head, int | None]] = {
        "fcn": (FCNHead(), 8),
        "deeplabv3": (DeepLabHead(), 8),
        "fpn": (FPNHead(), None),
    }
    for name, spec in CATALOG.items():
        for kind, (head, stride) in heads.items():
            if isinstance(spec.head, LinearHead) and spec.usual_size == 224:
                assert find(f"{kind}_{name}") == replace(spec, output_stride=stride, classes=21, head=head)
            else:
                with pytest.raises(UsageError, match="No model is called"):
                    find(f"{kind}_{name}")
    listed = [name for name in CATALOG if name.startswith(tuple(heads))]
    assert listed == ["fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101"]


def test_an_auxiliary_head_needs_a_stage_of_its_own() -> None:
    with pytest.raises(UsageError, match="auxiliary needs a stage before the last"):
        Spec(depths=(1,), widths=(8,), head=FCNHead(auxiliary=True))
    with pytest.raises(UsageError, match="auxiliary needs a stage before the last"):
        Spec(depths=(1,), widths=(8,), head=DeepLabHead(auxiliary=True))
