"""The parts that a block can have: gates and middles. Networks with each are as counted, planned and folded."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.feature_extraction import create_feature_extractor

import resnets
from resnets.core.config import decode, encode
from resnets.core.errors import UsageError
from resnets.models import counts, memory
from resnets.models.initialization import Initialization
from resnets.models.initialize import create
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec
from resnets.models.surgery import fold_norms
from resnets.nn.layers import FrozenBatchNorm
from resnets.nn.middles import Res2Net, SelectiveKernel, SplitAttention
from resnets.nn.shapes import Norm
from tests.models.saved import saved_tensors

BASIC = Spec(depths=(1, 2), widths=(16, 32), stem_width=16, classes=5)
BOTTLENECK = replace(BASIC, block="bottleneck", widths=(8, 16))
SPECS = {
    "se, rounded": replace(BASIC, gate="se", gate_divisor=8),
    "eca": replace(BOTTLENECK, gate="eca"),
    "eca, pre-activation": replace(BASIC, gate="eca", preactivation=True),
    "cbam": replace(BASIC, gate="cbam", gate_reduction=2),
    "gc": replace(BOTTLENECK, gate="gc", gate_reduction=8),
    "sk, basic": replace(BASIC, middle=SelectiveKernel(reduction=2)),
    "sk, whole": replace(BOTTLENECK, middle=SelectiveKernel(split=False), groups=4, gate="se", gate_reduction=2),
    "res2net": replace(BOTTLENECK, middle=Res2Net(scale=3), shortcut="D"),
    "res2next": replace(BOTTLENECK, middle=Res2Net(), groups=2),
    "resnest": replace(BOTTLENECK, middle=SplitAttention(), shortcut="D"),
    "resnest, pool first": replace(BOTTLENECK, middle=SplitAttention(radix=4, pool_first=True), groups=2),
    "ibn a, basic": replace(BASIC, ibn="a"),
    "ibn a": replace(BOTTLENECK, ibn="a", gate="se", gate_reduction=2),
    "ibn b": replace(BOTTLENECK, depths=(2, 3), ibn="b"),
    "resnest, one map": replace(BOTTLENECK, middle=SplitAttention(radix=1)),
}
WITHOUT: dict[str, Any] = {"gate": "none", "gate_divisor": 1, "middle": None, "ibn": "none"}
EACH = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
# One of each part; those left out differ in numbers.
ONE_OF_EACH = ("eca", "cbam", "gc", "sk, whole", "res2net", "resnest", "ibn a", "ibn b")
NORMS: tuple[Norm, ...] = ("batch", "frozen", "group", "none")
# Each norm on images, and batch norm in each number of dimensions; the others among the slow tests.
NORMS_AND_DIMENSIONS = [
    pytest.param(norm, dimensions, marks=[pytest.mark.slow] * (norm != "batch" and dimensions != 2))
    for norm in NORMS
    for dimensions in (1, 2, 3)
]


def images(spec: Spec, count: int = 2, size: int = 33) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, spec.channels, *[size] * spec.dimensions, generator=generator)


def trained(spec: Spec) -> ResNet:
    """A network in evaluation mode whose weights and statistics are nowhere trivial."""
    network = create(spec, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.ndim == 1 and value.is_floating_point() and not name.startswith("fc."):
                value.uniform_(0.5 if name.endswith("var") else -1.5, 1.5, generator=generator)
    return network.eval()


@EACH
@pytest.mark.parametrize(("norm", "dimensions"), NORMS_AND_DIMENSIONS)
def test_it_runs_and_is_counted_in_every_dimension_with_every_norm(spec: Spec, norm: Norm, dimensions: int) -> None:
    if spec.ibn != "none" and norm not in ("batch", "frozen"):
        with pytest.raises(UsageError, match=f"not {norm}"):
            replace(spec, norm=norm)
        return
    spec = replace(spec, norm=norm, dimensions=dimensions, channels=2)
    network = create(spec)
    logits = network(images(spec))
    logits.square().sum().backward()
    assert logits.shape == (2, spec.classes)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    learnt = {name: p.grad.any() for name, p in network.named_parameters() if p.grad is not None}
    assert all(found for name, found in learnt.items() if name.endswith("weight") and "conv_attn" not in name)

    by_layer: dict[str, int] = {}
    for key, parameter in network.named_parameters():
        layer = key.rpartition(".")[0]
        by_layer[layer] = by_layer.get(layer, 0) + parameter.numel()
    assert {layer.name: layer.parameters for layer in counts.layers(spec, 33) if layer.parameters} == by_layer

    shapes: dict[str, torch.Size] = {}
    for key, module in network.named_modules():
        module.register_forward_hook(lambda m, inputs, output, key=key: shapes.update({key: output.shape[1:]}))
    with torch.no_grad(), FlopCounterMode(display=False) as profiler:
        network.eval()(images(spec, 1))
    layers = counts.layers(spec, 33)
    assert {layer.name: layer.shape for layer in layers} == {layer.name: shapes[layer.name] for layer in layers}
    assert counts.multiply_adds(spec, 33) == pytest.approx(profiler.get_total_flops() / 2, rel=0.01)


@EACH
def test_layers_are_listed_in_the_order_of_the_forward_pass(spec: Spec) -> None:
    network, called = trained(spec), []
    names = [layer.name for layer in counts.layers(spec, 33)]
    for name in names:
        network.get_submodule(name).register_forward_hook(lambda *_, name=name: called.append(name))
    network(images(spec))
    assert list(dict.fromkeys(called)) == names


@EACH
def test_folded_norms_give_the_same_function(spec: Spec) -> None:
    network = trained(spec).double()
    folded = fold_norms(network)
    x = images(spec).double()
    with torch.no_grad():
        torch.testing.assert_close(folded(x), network(x), rtol=1e-9, atol=1e-9)
    left = sum(isinstance(m, nn.BatchNorm2d | FrozenBatchNorm) for m in folded.modules())
    total = sum(isinstance(m, nn.BatchNorm2d | FrozenBatchNorm) for m in network.modules())
    assert left < total


@pytest.mark.parametrize(
    "spec",
    [pytest.param(spec, id=name, marks=[pytest.mark.slow] * (name not in ONE_OF_EACH)) for name, spec in SPECS.items()],
)
def test_it_is_traced_scripted_and_exported(spec: Spec) -> None:
    network, x = trained(spec), images(spec)
    modules = {module: feature for feature, module in spec.stage_modules.items()}
    with torch.no_grad():
        expected = network.features(x)
        traced = create_feature_extractor(network, modules)(x)
        for feature in modules.values():
            torch.testing.assert_close(traced[feature], expected[feature])
        y = torch.randn(2, spec.stage_channels["C3"], 5, 5)
        for stage in ("layer2.0", "layer2.1"):
            block, z = network.get_submodule(stage), expected["C2"] if stage == "layer2.0" else y
            scripted: Any = torch.jit.script(block)
            torch.testing.assert_close(scripted(z), block(z))
        exported = torch.export.export(network, (x,), dynamic_shapes={"x": {0: torch.export.Dim("n", min=2)}})
        more = images(spec, 3)
        torch.testing.assert_close(exported.module()(more), network(more))


@EACH
def test_with_zero_scales_each_block_starts_as_its_shortcut(spec: Spec) -> None:
    block = create(spec, how=Initialization(zero_init_last=True)).eval().get_submodule("layer2.1")
    x = torch.rand(2, spec.stage_channels["C3"], 4, 4)
    torch.testing.assert_close(block(x), x)


def kept_by_autograd(spec: Spec, size: int) -> float:
    """Numbers for each image that autograd keeps for the backward pass."""
    network, x = create(spec), images(spec, size=size)
    with saved_tensors([*network.parameters(), *network.buffers(), x]) as kept:
        logits = network(x)
    assert logits.requires_grad
    return sum(storage.nbytes() for storage in kept.values()) / 4 / len(x)


@EACH
@pytest.mark.parametrize("choices", [{}, {"activation": "gelu"}, {"dropout": 0.3}, {"norm": "frozen"}], ids=str)
def test_what_a_part_keeps_for_the_backward_pass_is_predicted(spec: Spec, choices: dict[str, Any]) -> None:
    spec, size = replace(spec, **choices), 96
    plain = replace(spec, **WITHOUT)

    def predicted(spec: Spec) -> int:
        return memory._stem(spec, size) + sum(block.saved for block in memory._blocks(spec, size))

    found, of_plain = kept_by_autograd(spec, size), kept_by_autograd(plain, size)
    more, expected = predicted(spec) - predicted(plain), found - of_plain
    assert abs(more - expected) <= 0.03 * found
    assert abs(expected) > 0.015 * found


@EACH
def test_a_spec_survives_json_and_says_only_what_is_new(spec: Spec) -> None:
    data = json.loads(json.dumps(encode(spec)))
    assert decode(Spec, data) == spec
    assert not {"gate_divisor", "middle", "ibn"} & encode(BASIC).keys()


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"gate_divisor": 8}, "gate none has none"),
        ({"gate": "eca", "gate_divisor": 8}, "gate eca has none"),
        ({"gate": "se", "gate_divisor": 0}, "1 or more"),
        ({"middle": Res2Net(scale=1), "block": "bottleneck"}, "scale from 2"),
        ({"middle": SplitAttention(radix=0), "block": "bottleneck"}, "radix from 1"),
        ({"middle": SelectiveKernel(divisor=2000)}, "divisor from 1 to 1,024"),
        ({"middle": SelectiveKernel(reduction=cast(Any, "x"))}, "middle.reduction takes"),
        ({"ibn": "a", "preactivation": True}, "without pre-activation"),
        ({"ibn": "b", "middle": SelectiveKernel()}, "without pre-activation, middle, anti"),
        ({"ibn": "b", "antialias": "blur"}, "without pre-activation, middle, anti"),
        ({"middle": SelectiveKernel(), "antialias": "blur"}, "which antialias would take"),
        ({"middle": Res2Net()}, "belongs to bottlenecks"),
        ({"middle": SelectiveKernel(), "preactivation": True}, "without pre-activation"),
        ({"middle": Res2Net(), "block": "bottleneck", "stride_in": "1x1"}, "needs stride_in '3x3'"),
        ({"middle": SelectiveKernel(), "widths": (15, 16)}, "splits channels in two"),
        ({"middle": SelectiveKernel(), "stem_width": 15}, "splits channels in two"),
        ({"middle": SplitAttention(radix=3), "block": "bottleneck"}, "divides 16 channels|divides 8 channels"),
    ],
)
def test_impossible_parts_are_refused(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(BASIC, **choices)


def test_hidden_channels_of_a_gate_are_rounded_as_timms() -> None:
    blocks = [block for _, block in resnets.create("seresnet18").spec.blocks()]
    assert [block.gate_channels for block in blocks[::2]] == [8, 8, 16, 32]
    wide = replace(BASIC, gate="se", widths=(24, 40), gate_reduction=2)
    assert [b.gate_channels for _, b in wide.blocks()] == [12, 20, 20]
    assert [b.gate_channels for _, b in replace(wide, gate_divisor=8).blocks()] == [16, 24, 24]


@pytest.mark.parametrize("name", ["ibn a", "ibn a, basic", "ibn b"])
@pytest.mark.parametrize("depths", [(1, 2), (2, 2, 2, 2)])
def test_the_least_size_leaves_instance_norms_more_than_one_position(name: str, depths: tuple[int, ...]) -> None:
    spec = replace(SPECS[name], depths=depths, widths=(8,) * len(depths))
    network, least = create(spec).eval(), spec.least_size
    network(images(spec, size=least))
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        network(images(spec, size=least - 1))
