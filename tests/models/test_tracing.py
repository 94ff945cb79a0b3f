"""Tracing, scripting, exporting and compiling: each gives what the network itself gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from resnets.models.catalog import CATALOG
from resnets.models.features import FeatureNet
from resnets.models.heads import FCNHead
from resnets.models.spec import Spec
from tests.models.built import built

SMALL = Spec(depths=(1, 1), widths=(8, 8), stem_width=8, classes=5)
KINDS = {
    "basic": SMALL,
    "plain, no norm, GELU": replace(SMALL, shortcut="none", norm="none", activation="gelu"),
    "bottleneck, frozen, gate": replace(SMALL, block="bottleneck", norm="frozen", gate="se", groups=2),
    "pre-activation, group norm, random layers, sequences": replace(
        SMALL, preactivation=True, norm="group", drop_path=0.3, dropout=0.2, dimensions=1
    ),
    "pre-activation bottleneck, shortcut C": replace(SMALL, preactivation=True, block="bottleneck", shortcut="C"),
    "deep stem, shortcut D, frozen volumes": replace(SMALL, stem="deep", shortcut="D", norm="frozen", dimensions=3),
    "shortcut A, max pool, no classes": replace(
        SMALL, stem="cifar", shortcut="A", widths=(8, 16), pool="max", classes=0
    ),
    "tiered stem, attention": replace(SMALL, stem="tiered", gate="cbam"),
    "global context, shortcut A volumes": replace(SMALL, gate="gc", shortcut="A", widths=(8, 16), dimensions=3),
    "attention to channels": replace(SMALL, gate="eca", block="bottleneck"),
    **{
        name: replace(CATALOG[name], depths=(1, 1), widths=(32, 32), classes=5)
        for name in ("skresnet50", "res2net50d", "resnest14d", "resnet18_ibn_a", "resnetblur50", "resnetv2_50x1_bit")
    },
    "whitened": replace(CATALOG["cifar_fast"], widths=(8, 8, 8), stem_width=8),
    "feature map": replace(SMALL, classes=0, pool="none", output_stride=4),
    "segmentation": replace(SMALL, head=FCNHead(auxiliary=True), drop_path=0.3),
}
FAST = ("basic", "bottleneck, frozen, gate", "segmentation")


def each(fast: tuple[str, ...]) -> pytest.MarkDecorator:
    """Of every kind; those not in `fast` among the slow tests."""
    marks = {kind: () if kind in fast else (pytest.mark.slow,) for kind in KINDS}
    return pytest.mark.parametrize(
        "spec", [pytest.param(spec, id=kind, marks=marks[kind]) for kind, spec in KINDS.items()]
    )


def inputs(spec: Spec, size: int = 0) -> Tensor:
    size = size or (16 if spec.usual_size == 32 else 32)
    return torch.randn(2, spec.channels, *[size] * spec.dimensions, generator=torch.Generator().manual_seed(3))


def scripted(network: nn.Module) -> Any:
    return torch.jit.script(network)


def traced(network: nn.Module) -> Any:
    return torch.fx.symbolic_trace(network)


def traced_and_scripted(network: nn.Module) -> Any:
    return torch.jit.script(torch.fx.symbolic_trace(network))


def compiled(network: nn.Module) -> Any:
    torch._dynamo.reset()
    return torch.compile(network, fullgraph=True, backend="eager")


TOOLS = (traced, scripted, traced_and_scripted, compiled)


def draws_like(tool: Callable[[nn.Module], Any], spec: Spec) -> bool:
    """Whether what `tool` makes draws the numbers of the network itself in training; TorchScript draws torch's own."""
    return "script" not in tool.__name__ or not (spec.drop_path or spec.dropout or isinstance(spec.head, FCNHead))


@each(fast=FAST)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_what_the_tools_make_gives_the_same(spec: Spec, training: bool) -> None:
    network, x = built(spec).train(training), inputs(spec)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    for tool in TOOLS if not training else (traced, scripted):
        found = []
        for made in (network, tool(network)):
            network.load_state_dict(state)
            torch.manual_seed(5)
            found.append(made(x))
        if not training or draws_like(tool, spec):
            assert torch.equal(*found), tool.__name__
        assert found[1].shape == found[0].shape
        assert not training or found[1].requires_grad


@each(fast=FAST)
def test_an_exported_network_takes_other_batches(spec: Spec) -> None:
    network, x = built(spec).eval(), inputs(spec)
    program = torch.export.export(network, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},))
    three = torch.cat([x, 2 * x[:1]])
    with torch.no_grad():
        torch.testing.assert_close(program.module()(three), network(three), rtol=1e-5, atol=1e-6)


@each(fast=("basic",))
def test_every_stage_compiles_by_itself(spec: Spec) -> None:
    network, x = built(spec).eval(), inputs(spec)
    expected = network(x)
    backbone: Any = getattr(network, "backbone", network)
    for name in backbone.stage_names:
        setattr(backbone, name, compiled(getattr(backbone, name)))
    assert torch.equal(network(x), expected)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("preactivation", [False, True])
def test_feature_maps_are_traced_and_scripted(tool: Callable[[nn.Module], Any], preactivation: bool) -> None:
    network = built(replace(SMALL, preactivation=preactivation, norm="frozen"))
    features, x = FeatureNet(network, (0, -1)).eval(), inputs(SMALL)
    found = tool(features)(x)
    assert len(found) == 2
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, features(x), strict=True))


def test_a_scripted_network_is_scripted_inside_others_and_keeps_its_names() -> None:
    network = built(SMALL).eval()
    outer = nn.Sequential(network, nn.ReLU())
    made = torch.jit.script(outer)
    assert list(made.state_dict()) == list(outer.state_dict())
    assert outer[0] is network
    assert torch.equal(made(inputs(SMALL)), outer(inputs(SMALL)))


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
def test_recomputed_blocks_are_traced_scripted_and_compiled(training: bool) -> None:
    spec, x = replace(SMALL, drop_path=0.3), inputs(SMALL)
    network: Any = built(spec).train(training)
    network.set_grad_checkpointing()
    state = {name: value.clone() for name, value in network.state_dict().items()}

    def compiled_for_training(network: nn.Module) -> Any:
        torch._dynamo.reset()
        return torch.compile(network, fullgraph=True, backend="aot_eager")

    for tool in (traced, scripted, compiled_for_training):
        results = []
        for made in (network, tool(network)):
            network.load_state_dict(state)
            network.zero_grad()
            torch.manual_seed(5)
            made(x).square().sum().backward()
            results.append([p.grad.clone() for p in network.parameters()] + [b.clone() for b in network.buffers()])
        if not training or draws_like(tool, spec):
            for ours, theirs in zip(*results, strict=True):
                torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


def quantized(network: nn.Module, x: Tensor) -> Tensor:
    prepared = prepare_fx(network, get_default_qconfig_mapping(), (x,))
    prepared(x)
    return cast(Tensor, convert_fx(prepared)(x))


@each(fast=("basic",))
def test_fx_quantization_stays_near(spec: Spec) -> None:
    if spec.dimensions == 1 or spec.norm == "group":
        pytest.skip("torch quantises images and volumes, without group norm")
    network, x = built(spec).eval(), inputs(spec)
    with torch.no_grad():
        expected = network(x)
        found = quantized(network, x)
    assert (found - expected).abs().max() < 0.2 * expected.abs().max()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CATALOG)
def test_every_network_of_the_catalog(name: str) -> None:
    """Tracing by torch and torchvision, quantisation, scripting, export and compilation, whole."""
    spec = replace(CATALOG[name], classes=5)
    network, x = built(spec).train(), inputs(spec)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0  # statistics of the inputs: with others a thousand layers overflow
    with torch.no_grad():
        network(x)
    traced(network)
    network.eval()
    with torch.no_grad():
        expected = network(x)
        for tool in (traced, scripted, compiled):
            assert torch.equal(tool(network)(x), expected), tool.__name__
        in_training, in_evaluation = get_graph_node_names(network)
        extractor = create_feature_extractor(
            network, train_return_nodes=[in_training[-1]], eval_return_nodes=[in_evaluation[-1]]
        )
        assert torch.equal(next(iter(extractor.eval()(x).values())), expected)
        assert quantized(network, x).shape == expected.shape
        program = torch.export.export(network, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},))
        torch.testing.assert_close(program.module()(x), expected, rtol=1e-5, atol=1e-5)
