"""The network as a tree of modules: what hooks, compilers, sharding and torchvision's helpers rely on."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
import torch.distributed as dist
import torchvision
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.backbone_utils import BackboneWithFPN, _resnet_fpn_extractor
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.models.segmentation.deeplabv3 import DeepLabV3
from torchvision.models.segmentation.fcn import FCNHead

from resnets.models.catalog import CATALOG
from resnets.models.initialize import create
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec

SMALL = Spec(depths=(2, 1), widths=(8, 8), stem_width=8, classes=5)
SPECS = {
    "imagenet": SMALL,
    "pre-activation": replace(SMALL, preactivation=True),
    "deep, gate, shortcut D": replace(SMALL, stem="deep", gate="se", shortcut="D", block="bottleneck"),
    "cifar, shortcut A": replace(SMALL, stem="cifar", shortcut="A", drop_path=0.1, dropout=0.1),
    "whitened": replace(CATALOG["cifar_fast"], widths=(8, 8, 8), stem_width=8),
    "deep, blur": replace(SMALL, stem="deep", antialias="blur"),
    "average": replace(SMALL, block="bottleneck", antialias="average"),
    "pool with weights": replace(SMALL, stem="tiered", stem_pool="conv", shortcut="D"),
    "standardized": replace(
        SMALL, stem_pool="zero-padded max", norm="group", standardized=True, block="bottleneck", preactivation=True
    ),
    "group norm, max pool": replace(SMALL, norm="group", pool="max", preactivation=True),
}
EACH = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def images(count: int = 2, size: int = 64) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def trained(spec: Spec) -> ResNet:
    """A network in evaluation mode whose norms are nowhere trivial: a norm and a pool in the wrong order show."""
    network = create(spec, seed=1)
    g = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.ndim == 1 and not name.startswith("fc."):
                value.uniform_(0.5 if name.endswith("var") else -1.5, 1.5, generator=g)
    return network.eval()


@EACH
@pytest.mark.parametrize("segments", [{}, {"layer1": (1,)}], ids=["plain", "recomputed"])
def test_a_hook_on_any_child_fires_once_in_the_order_of_the_children(spec: Spec, segments: Any) -> None:
    network = trained(spec).train()
    fired: list[str] = []

    def note(text: str) -> Any:
        return lambda *_: fired.append(text)

    network.recomputed = segments
    assert network.recomputed == segments
    for name, child in network.named_children():
        child.register_forward_hook(note(name))
        child.register_full_backward_hook(note(f"back {name}"))
    network(images().requires_grad_()).sum().backward()
    names = [name for name, _ in network.named_children()]
    assert [name for name in fired if not name.startswith("back")] == names
    assert {name for name in fired if name.startswith("back")} == {f"back {name}" for name in names}


@EACH
def test_the_children_one_after_another_give_the_pooled_features(spec: Spec) -> None:
    network = trained(spec)
    with torch.inference_mode():
        features = network.features(images())
        pooled = nn.Sequential(*list(network.children())[:-1])(images())
        assert torch.equal(pooled, network.avgpool(list(features.values())[-1]))
        assert torch.equal(network.fc(pooled.flatten(1)), network(images()))


@EACH
def test_the_named_modules_give_the_features_by_hook_getter_and_tracing(spec: Spec) -> None:
    network, seen = trained(spec), {}
    by_module = {module: feature for feature, module in spec.stage_modules.items()}
    with torch.inference_mode():
        expected = network.features(images())
        for found in (
            IntermediateLayerGetter(network, by_module)(images()),
            create_feature_extractor(network, by_module)(images()),
        ):
            assert list(found) == list(expected)
            assert all(torch.equal(found[name], expected[name]) for name in expected)
        for module, feature in by_module.items():
            network.get_submodule(module).register_forward_hook(
                lambda module, inputs, output, feature=feature: seen.update({feature: output})
            )
        network(images())
    assert all(torch.equal(seen[name], expected[name]) for name in expected)


@pytest.fixture(scope="module")
def twins() -> tuple[nn.Module, ResNet]:
    """torchvision's ResNet-18, with statistics of its own, and ours with the same weights."""
    network = trained(CATALOG["resnet18"])
    theirs = torchvision.models.resnet18(weights=None).eval()
    theirs.load_state_dict(network.state_dict())
    return theirs, network


def test_children_and_parameters_come_in_torchvisions_order(twins: tuple[nn.Module, ResNet]) -> None:
    theirs, ours = twins
    names = [name for name, _ in ours.named_children() if name != "bn"]  # of pre-activation nets
    assert names == [name.replace("relu", "act") for name, _ in theirs.named_children()]
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    assert list(ours.state_dict()) == list(theirs.state_dict())


def heads(backbone: nn.Module) -> dict[str, nn.Module]:
    """torchvision's helpers around `backbone`, their own weights drawn from one seed."""
    backbone = copy.deepcopy(backbone)
    torch.manual_seed(0)
    layers = {f"layer{number}": str(number) for number in (1, 2, 3, 4)}
    return {
        "FPN": BackboneWithFPN(backbone, layers, [64, 128, 256, 512], 32),
        "Faster R-CNN's FPN": _resnet_fpn_extractor(cast(Any, backbone), 3),
        "DeepLab": DeepLabV3(
            IntermediateLayerGetter(backbone, {"layer3": "aux", "layer4": "out"}), FCNHead(512, 3), FCNHead(256, 3)
        ),
    }


@torch.inference_mode()
def test_torchvisions_helpers_give_the_same_around_both(twins: tuple[nn.Module, ResNet]) -> None:
    theirs, ours = map(heads, twins)
    for name, helper in ours.items():
        expected, found = theirs[name].eval()(images()), helper.eval()(images())
        assert list(found) == list(expected)
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("preactivation", [False, True])
def test_a_stage_can_be_replaced_or_compiled(preactivation: bool) -> None:
    spec = replace(SMALL, preactivation=preactivation)
    network = trained(spec)
    last, calls = network.stage_names[-1], []

    def backend(module: torch.fx.GraphModule, inputs: Any) -> Any:
        calls.append(module)
        return module.forward

    with torch.no_grad():
        expected, features = network(images()), network.features(images())
        setattr(network, last, torch.compile(network.get_submodule(last), backend=backend))
        torch.testing.assert_close(network(images()), expected)
        assert calls
        setattr(network, last, nn.Identity())
        before = features[f"C{len(spec.depths)}"]
        before = network.act(network.bn(before)) if preactivation else before
        assert torch.equal(network(images()), network.fc(network.avgpool(before).flatten(1)))


def test_a_slice_of_a_stage_and_a_block_of_it_are_modules() -> None:
    network = trained(SMALL)
    network.recomputed = {"layer1": (2,)}
    stage, x = network.get_submodule("layer1"), torch.randn(1, 8, 8, 8)
    assert isinstance(stage, nn.Sequential)
    assert torch.equal(stage[1:](stage[0](x)), stage(x))


@pytest.fixture
def alone() -> Iterator[None]:
    """A process group of this process."""
    store = dist.HashStore()  # type: ignore[attr-defined]
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="torch has no gloo here")
@pytest.mark.parametrize("segments", [{}, {"layer1": (2,)}], ids=["plain", "recomputed"])
def test_stages_are_sharded_each(segments: Any, alone: None) -> None:
    plain = create(SMALL, seed=1)
    sharded, mesh = copy.deepcopy(plain), init_device_mesh("cpu", (1,))
    sharded.recomputed = segments
    for name in sharded.stage_names:
        fully_shard(sharded.get_submodule(name), mesh=mesh)
    fully_shard(sharded, mesh=mesh)
    for network in (plain, sharded):
        network(images()).square().sum().backward()
    theirs = dict(sharded.named_parameters())
    for name, parameter in plain.named_parameters():
        gradient: Any = theirs[name].grad
        assert torch.equal(gradient.full_tensor(), cast(Tensor, parameter.grad)), name
