"""timm's names on the networks: methods and attributes, compared with timm's own network of the same weights."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import timm
import timm.optim
import torch
from torch import Tensor, nn

import resnets
from resnets.core.errors import UsageError
from resnets.models import counts
from resnets.models.heads import FCNHead
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec
from resnets.models.surgery import to_frozen_batch_norm
from resnets.nn.layers import FrozenBatchNorm
from tests.models.built import built, scramble

SMALL = Spec(depths=(1, 2), widths=(8, 16), stem_width=8, classes=5)
X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def build(spec: Spec) -> Any:
    return built(spec).eval()


@pytest.fixture(scope="module")
def twins() -> tuple[Any, ResNet]:
    """timm's ResNet-18 and ours with the same weights."""
    theirs = timm.create_model("resnet18", num_classes=5)
    scramble(theirs)
    ours = cast(ResNet, resnets.create("resnet18", classes=5))
    ours.load_state_dict(theirs.state_dict())
    return theirs.eval(), ours.eval()


@torch.no_grad()
def test_methods_give_what_timms_give(twins: tuple[Any, ResNet]) -> None:
    theirs, ours = twins
    last = ours.forward_features(X)
    torch.testing.assert_close(last, theirs.forward_features(X))
    for pre_logits in (False, True):
        expected = theirs.forward_head(last, pre_logits=pre_logits)
        torch.testing.assert_close(ours.forward_head(last, pre_logits=pre_logits), expected)
    for indices in (None, 2, [1, 3], [-2]):
        expected, expected_maps = theirs.forward_intermediates(X, indices)
        found, maps = ours.forward_intermediates(X, indices, output_fmt="NCHW")
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(maps, expected_maps)
    torch.testing.assert_close(
        ours.forward_intermediates(X, np.int64(2)),  # type: ignore[call-overload]
        ours.forward_intermediates(X, 2),
    )
    early = theirs.forward_intermediates(X, [0, 2], stop_early=True, intermediates_only=True)
    torch.testing.assert_close(ours.forward_intermediates(X, [0, 2], stop_early=True, intermediates_only=True), early)
    for name in ("num_features", "num_classes", "head_hidden_size"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.get_classifier() is ours.fc


def test_stopping_early_computes_nothing_after(twins: tuple[Any, ResNet]) -> None:
    called = []
    network = copy.deepcopy(twins[1])
    for name in ("layer2", "layer3"):
        network.get_submodule(name).register_forward_hook(lambda *_, name=name: called.append(name))
    network.forward_intermediates(X, [0, 2], stop_early=True)
    assert called == ["layer2"]


@pytest.mark.parametrize("indices", [[7], [-6], [], 0, 6])
def test_an_index_that_is_not_there_is_refused(twins: tuple[Any, ResNet], indices: Any) -> None:
    with pytest.raises(UsageError, match="has 5 feature maps"):
        twins[1].forward_intermediates(X, indices)


@torch.no_grad()
@pytest.mark.parametrize("indices", [None, (1, 2), (0, -1)])
def test_features_only_gives_what_timms_gives(twins: tuple[Any, ResNet], indices: Any) -> None:
    full = twins[0]
    theirs: Any = timm.create_model(
        "resnet18", features_only=True, **({"out_indices": indices} if indices else {})
    ).eval()
    ours = resnets.create("resnet18", features_only=True, out_indices=indices).eval()
    state = {name: value for name, value in full.state_dict().items() if name in ours.state_dict()}
    theirs.load_state_dict(state)
    ours.load_state_dict(state)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    torch.testing.assert_close(ours(X), theirs(X))
    assert ours.feature_info.channels() == theirs.feature_info.channels()
    assert ours.feature_info.reduction() == theirs.feature_info.reduction()
    assert ours.feature_info.module_name() == [
        name.replace("act1", "act") for name in theirs.feature_info.module_name()
    ]


def test_feature_info_of_a_network_is_timms(twins: tuple[Any, ResNet]) -> None:
    theirs, ours = twins
    info = timm.models.FeatureInfo(cast(Any, ours.feature_info), len(ours.feature_info))
    assert info.channels() == ours.feature_info.channels() == [each["num_chs"] for each in theirs.feature_info]
    assert info.reduction() == ours.feature_info.reduction() == [each["reduction"] for each in theirs.feature_info]


def test_features_only_takes_weights_and_refuses_what_has_no_use_for_it(tmp_path: Any) -> None:
    whole = cast(ResNet, resnets.create("resnet18", classes=3, seed=4))
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    found = resnets.create("resnet18", weights=tmp_path / "weights.pth", features_only=True, out_indices=[2])
    assert "layer3.0.conv1.weight" not in found.state_dict()
    expected = whole.eval().features(X)["C3"]
    torch.testing.assert_close(found.eval()(X), [expected])
    with pytest.raises(UsageError, match="features_only=True"):
        resnets.create("resnet18", out_indices=[1])
    with pytest.raises(UsageError, match="for classifiers"):
        resnets.create("fcn_resnet18", features_only=True)


@torch.no_grad()
@pytest.mark.parametrize("change", [{}, {"preactivation": True}, {"stem": "deep", "shortcut": "D"}, {"pool": "max"}])
def test_the_classifier_is_reset_and_the_spec_follows(change: Any) -> None:
    spec = replace(SMALL, **change)
    network = build(spec)
    pooled = network.forward_head(network.forward_features(X), pre_logits=True)
    network.reset_classifier(0)
    assert torch.equal(network(X), pooled)
    assert network.num_classes == network.spec.classes == 0
    assert isinstance(network.fc, nn.Identity)
    network.reset_classifier(0, "none")
    assert torch.equal(network(X), network.features(X)["C3"])
    with pytest.raises(UsageError, match="needs a pool"):
        network.reset_classifier(3)
    network.double().reset_classifier(3, "average")
    assert network(X.double()).shape == (2, 3)
    assert network.fc.weight.dtype == torch.float64
    assert not network.fc.training
    assert network.spec == replace(spec, classes=3, pool="average")
    assert sum(p.numel() for p in network.parameters()) == counts.parameters(network.spec)


def test_a_network_without_classes_is_counted_initialised_and_loaded(tmp_path: Any) -> None:
    whole = cast(ResNet, resnets.create("resnet18", classes=7, seed=3))
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    found = cast(ResNet, resnets.create("resnet18", classes=0, pool="none", weights=tmp_path / "weights.pth"))
    assert sum(p.numel() for p in found.parameters()) == counts.parameters(found.spec)
    assert counts.layers(found.spec, 64)[-1].name == "layer4.1.bn2"
    with torch.no_grad():
        assert torch.equal(found.eval()(X), whole.eval().forward_features(X))


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("head", [{}, {"head": FCNHead()}])
@pytest.mark.parametrize("stages", [0, 1, 2, 3])
def test_frozen_stages_stay_as_they_are_in_training(stages: int, head: Any) -> None:
    network = build(replace(SMALL, preactivation=stages == 3, **head))
    prefix = "backbone." if head else ""
    network.freeze(stages).train()
    network = copy.deepcopy(network)
    network.train()
    before = state_of(network)
    parameters = [p for p in network.parameters() if p.requires_grad]
    network(X).square().sum().backward()
    torch.optim.SGD(parameters, lr=0.1).step()
    parts = (("conv1", "bn1"), ("layer1",), ("layer2", "bn"))
    frozen = tuple(f"{prefix}{name}." for part in parts[:stages] for name in part)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith(frozen if frozen else "-"), name
    network.freeze(0).train()
    assert all(p.requires_grad for p in network.parameters())
    assert all(module.training for module in network.modules())


def test_freezing_leaves_what_others_froze_and_refuses_what_is_not_there() -> None:
    network = cast(ResNet, resnets.create("cifar_fast"))
    assert not network.get_parameter("conv1.0.weight").requires_grad
    network.freeze(2).freeze(np.int64(1))  # type: ignore[arg-type]
    assert network.frozen == 1
    network.freeze(0)
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == ["conv1.0.weight"]
    for stages in (5, -1, True):
        with pytest.raises(UsageError, match=r"from 0|takes a whole number"):
            network.freeze(stages)


@pytest.mark.parametrize("head", [{}, {"head": FCNHead(auxiliary=True)}])
@pytest.mark.parametrize("dimensions", [1, 2])
def test_a_trained_network_becomes_one_with_frozen_batch_norm(head: Any, dimensions: int) -> None:
    network = build(replace(SMALL, stem="deep", shortcut="D", dimensions=dimensions, **head)).double()
    before, x = state_of(network), torch.randn(2, 3, *[32] * dimensions, dtype=torch.float64)
    frozen = to_frozen_batch_norm(network)
    assert type(frozen) is type(network)
    assert frozen.spec == replace(network.spec, norm="frozen")
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in frozen.modules())
    again = build(frozen.spec).double()
    again.load_state_dict(frozen.state_dict())
    for mode in (True, False):
        found = [net.train(mode) for net in (frozen, again)]
        if not (head and mode):  # whose dropout draws in training
            for each in found:
                torch.testing.assert_close(each(x), network.eval()(x), rtol=1e-10, atol=1e-10)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert sum(isinstance(m, FrozenBatchNorm) for m in frozen.modules()) == sum(
        isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules()
    )
    with pytest.raises(UsageError, match="norm group"):
        to_frozen_batch_norm(build(replace(SMALL, norm="group")))


@pytest.mark.parametrize("name", ["resnet18", "resnetv2_50"])
def test_parameter_groups_are_timms(name: str) -> None:
    theirs = cast(Any, timm.optim).param_groups_layer_decay(
        timm.create_model(name, num_classes=5), weight_decay=0.05, layer_decay=0.7
    )
    network = cast(ResNet, resnets.create(name, classes=5))
    ours = network.parameter_groups(lr=0.2, weight_decay=0.05, layer_decay=0.7)

    def described(groups: list[dict[str, Any]]) -> list[Any]:
        found = [(g["lr_scale"], g["weight_decay"], sorted(p.numel() for p in g["params"])) for g in groups]
        return sorted(found)

    for (scale, decay, sizes), (scale_, decay_, sizes_) in zip(described(ours), described(theirs), strict=True):
        assert (scale, decay, sizes) == (pytest.approx(scale_), decay_, sizes_)
    names = {id(p): name for name, p in network.named_parameters()}
    for group in ours:
        assert [names[id(p)] for p in group["params"]] == group["param_names"]
        assert group["lr"] == pytest.approx(0.2 * group["lr_scale"])
    assert {n for g in ours if g["lr_scale"] == 1 for n in g["param_names"]} == {"fc.weight", "fc.bias"}
    assert torch.optim.SGD(ours, lr=9.0).param_groups[0]["lr"] == ours[0]["lr"]


def test_parameter_groups_of_other_networks_and_settings() -> None:
    network = build(replace(SMALL, head=FCNHead(auxiliary=True)))
    network.freeze(1)
    groups = network.parameter_groups(weight_decay=0.1, layer_decay=0.5, decay_norms_and_biases=True)
    assert all(group["weight_decay"] == 0.1 and "lr" not in group for group in groups)
    assert [group["lr_scale"] for group in groups] == [0.125, 0.25, 0.5, 1.0]
    assert {name.split(".")[0] for name in groups[-1]["param_names"]} == {"classifier", "aux_classifier"}
    assert sum(len(g["params"]) for g in groups) == sum(p.requires_grad for p in network.parameters())
    for settings in ({"layer_decay": 0.0}, {"weight_decay": -1.0}, {"lr": 0.0}):
        with pytest.raises(UsageError, match="layer_decay in"):
            network.parameter_groups(**settings)


def test_segmentation_has_the_names_that_make_sense() -> None:
    network = build(replace(SMALL, head=FCNHead(auxiliary=True)))
    assert (network.num_classes, network.num_features) == (5, 16)
    assert network.feature_info.channels() == [8, 8, 16]
    assert torch.equal(network.forward_features(X), network.features(X)["C3"])
    network.reset_classifier(3)
    assert {name: each.shape[1] for name, each in network.all_logits(X).items()} == {"out": 3, "aux": 3}
    assert network.spec == network.backbone.spec
    assert network.spec.classes == 3
    with pytest.raises(UsageError, match="needs classes"):
        network.reset_classifier(0)
    with pytest.raises(UsageError, match="no classifier of its own"):
        network.backbone.reset_classifier(3)


def test_checkpointing_changes_memory_only() -> None:
    results = []
    for enable in (False, True):
        network = build(replace(SMALL, drop_path=0.2)).train()
        network.set_grad_checkpointing(enable)
        assert network.recomputed == ({"layer1": (1,), "layer2": (1, 1)} if enable else {})
        torch.manual_seed(0)
        network(X).square().sum().backward()
        results.append([p.grad for p in network.parameters()] + list(network.buffers()))
    network.set_grad_checkpointing(False)
    assert not network.recomputed
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))
