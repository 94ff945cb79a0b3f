"""The networks of segmentation: torchvision's in values and keys, at any size, and random only by their keys."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

import resnets
from resnets.core.errors import UsageError
from resnets.models.heads import DeepLabHead, FPNHead
from resnets.models.memory import Segments
from resnets.models.spec import Spec
from resnets.models.surgery import fold_norms
from resnets.nn.stochastic import set_rng_keys
from resnets.tasks.segmentation.network import SegmentationNet, build

SMALL: dict[str, Any] = {"depths": (2, 1), "widths": (8, 16), "stem_width": 8, "classes": 5}


def small(**choices: Any) -> SegmentationNet:
    head = {} if "head" in choices else {"auxiliary": True}
    network = resnets.create("fcn_resnet18", **{**SMALL, **head, **choices})
    assert isinstance(network, SegmentationNet)
    return network


def images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def theirs(name: str, auxiliary: bool) -> nn.Module:
    """torchvision's network with running statistics that are nowhere trivial."""
    torch.manual_seed(0)
    network: nn.Module = getattr(torchvision.models.segmentation, name)(
        weights=None, weights_backbone=None, aux_loss=auxiliary
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.running_mean, 0, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return network.eval()


@pytest.mark.parametrize(
    ("name", "auxiliary"),
    [
        ("fcn_resnet50", False),
        ("fcn_resnet101", True),
        ("deeplabv3_resnet50", True),
        ("deeplabv3_resnet101", False),
    ],
)
def test_logits_are_torchvisions_with_its_weights(name: str, auxiliary: bool) -> None:
    peer = theirs(name, auxiliary)
    network = resnets.create(name, auxiliary=auxiliary)
    assert isinstance(network, SegmentationNet)
    assert list(network.state_dict()) == list(peer.state_dict())
    network.load_state_dict(peer.state_dict())
    network.eval()
    for size in ((33, 49), (40, 24)):
        with torch.inference_mode():
            x = images(1, 3, *size)
            expected, found = peer(x), network.all_logits(x)
            assert found.keys() == expected.keys() == ({"out", "aux"} if auxiliary else {"out"})
            for key, value in expected.items():
                assert found[key].shape == (1, 21, *size)
                assert (found[key] - value).abs().max() <= 1e-5 * value.abs().max()
            assert torch.equal(network(x), found["out"])
            assert list(network.features(x)) == ["C1", "C2", "C3", "C4", "C5"]


@pytest.mark.parametrize("name", ["fcn_resnet50", "deeplabv3_resnet50"])
def test_gradients_are_torchvisions(name: str) -> None:
    peer = theirs(name, auxiliary=True).double()
    network = resnets.create(name, auxiliary=True)
    assert isinstance(network, SegmentationNet)
    network.load_state_dict(peer.state_dict())
    network.double().eval()
    x, masks = images(2, 3, 24, 40).double(), torch.randint(21, (2, 24, 40))
    for logits in (peer(x), network.all_logits(x)):
        (F.cross_entropy(logits["out"], masks) + 0.5 * F.cross_entropy(logits["aux"], masks)).backward()  # type: ignore[no-untyped-call]
    gradients = {name: p.grad for name, p in peer.named_parameters()}
    for name, parameter in network.named_parameters():
        expected = gradients[name]
        assert expected is not None
        assert parameter.grad is not None
        assert (parameter.grad - expected).abs().max() <= 1e-9 * expected.abs().max(), name


def test_rates_are_those_of_the_output_stride() -> None:
    for stride, rates in {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}.items():
        network = small(depths=(1,) * 4, widths=(8,) * 4, head=DeepLabHead(), output_stride=stride)
        found = [module.dilation[0] for module in network.classifier.modules() if isinstance(module, nn.Conv2d)]
        assert [rate for rate in found if rate > 1] == list(rates)


def test_the_mean_of_one_image_cannot_be_normalised_by_batch_norm() -> None:
    network = small(head=DeepLabHead()).train()
    with pytest.raises(UsageError, match="needs 2 images or more in a forward pass: set bn_batch=2"):
        network(images(1, 3, 16, 16))
    assert network(images(2, 3, 16, 16)).shape == (2, 5, 16, 16)
    for norm in ("frozen", "group"):
        assert small(head=DeepLabHead(), norm=norm).train()(images(1, 3, 16, 16)).shape == (1, 5, 16, 16)


def reference_pyramid(network: SegmentationNet, x: Tensor) -> Tensor:
    """The logits of a feature pyramid over four stages, stage by stage, with every enlargement by 2."""
    state = {name: value for name, value in network.state_dict().items() if name.startswith("classifier.")}

    def block(x: Tensor, level: int, step: int) -> Tensor:
        convolved = F.conv2d(x, state[f"classifier.levels.{level}.{step}.0.weight"], padding=1)
        weight, bias = (state[f"classifier.levels.{level}.{step}.1.{name}"] for name in ("weight", "bias"))
        return F.relu(F.group_norm(convolved, 32, weight, bias))

    _, *maps = network.features(x).values()
    lateral = [
        F.conv2d(each, state[f"classifier.lateral.{i}.weight"], state[f"classifier.lateral.{i}.bias"])
        for i, each in enumerate(maps)
    ]
    for i in (2, 1, 0):
        lateral[i] = lateral[i] + lateral[i + 1].repeat_interleave(2, 2).repeat_interleave(2, 3)
    total = block(lateral[0], 0, 0)
    for level in (1, 2, 3):
        y = lateral[level]
        for step in range(level):
            y = F.interpolate(block(y, level, step), scale_factor=2, mode="bilinear", align_corners=False)
        total = total + y
    logits = F.conv2d(total, state["classifier.logits.weight"], state["classifier.logits.bias"])
    return F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)


def test_the_pyramid_is_the_papers_at_multiples_of_its_strides() -> None:
    network = resnets.create("fpn_resnet18", classes=5).double().eval()
    assert isinstance(network, SegmentationNet)
    x = images(2, 3, 64, 96).double()
    with torch.inference_mode():
        expected = reference_pyramid(network, x)
        torch.testing.assert_close(network(x), expected, rtol=1e-10, atol=1e-10)
        assert list(network.all_logits(x)) == ["out"]
    network.train()
    set_rng_keys(network, torch.tensor([3, 4]))
    assert not torch.allclose(network(x), network.eval()(x))
    whole = network.classifier.get_submodule("dropout").train()(torch.ones(2, 64, 3, 5))
    assert all(len(channel.unique()) == 1 for image in whole for channel in image)


@pytest.mark.parametrize(
    "fields", [{}, {"output_stride": 4}, {"preactivation": True}, {"stem": "cifar", "output_stride": 2}], ids=str
)
@pytest.mark.parametrize("size", [(1, 1), (7, 8), (31, 64)])
def test_a_pyramid_takes_any_size_and_any_stage(fields: dict[str, Any], size: tuple[int, int]) -> None:
    network = small(head=FPNHead(pyramid=8, channels=4), norm="group", **fields)
    logits = network(images(2, 3, *size))
    assert logits.shape == (2, 5, *size)
    logits.sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    network.reset_classifier(3)
    assert network(images(2, 3, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("size", [(1, 1), (7, 8), (32, 33), (31, 64)])
@pytest.mark.parametrize("training", [True, False])
def test_logits_have_the_size_of_the_input(size: tuple[int, int], training: bool) -> None:
    network = small(norm="group", drop_path=0.1).train(training)
    assert network(images(2, 3, *size)).shape == (2, 5, *size)
    logits = network.all_logits(images(2, 3, *size))
    assert list(logits) == ["out", "aux"]
    assert all(each.shape == (2, 5, *size) for each in logits.values())


def test_dropout_is_drawn_from_the_samples_keys_alone() -> None:
    network = small(norm="frozen").train()
    x, keys = images(3, 3, 16, 24), torch.tensor([5, 7, 9])

    def drawn(rows: slice) -> dict[str, Tensor]:
        set_rng_keys(network, keys[rows])
        return network.all_logits(x[rows])

    torch.manual_seed(0)
    whole = drawn(slice(0, 3))
    state = torch.get_rng_state()
    parts = [drawn(slice(0, 1)), drawn(slice(1, 3))]
    assert torch.equal(torch.get_rng_state(), state)
    for head in ("out", "aux"):
        torch.testing.assert_close(torch.cat([part[head] for part in parts]), whole[head])
    set_rng_keys(network, keys + 1)
    assert not torch.allclose(network(x), whole["out"], atol=1e-3)
    set_rng_keys(network, torch.arange(64))
    dropped = (network.classifier.get_submodule("3")(torch.ones(64, 4, 16, 16)) == 0).float().mean()
    assert dropped == pytest.approx(0.1, abs=0.02)
    assert torch.equal(network.eval()(x), network(x))


def test_recomputed_blocks_give_the_same_gradients() -> None:
    x, masks, gradients = images(2, 3, 16, 24), torch.randint(5, (2, 16, 24)), []
    choices: tuple[Segments, ...] = ({}, {"layer1": (2,), "layer2": (1,)})
    for segments in choices:
        network = small(drop_path=0.2, dropout=0.1)
        network.recomputed = segments
        assert network.recomputed == network.backbone.recomputed == segments
        set_rng_keys(network, torch.tensor([1, 2]))
        F.cross_entropy(network(x), masks).backward()  # type: ignore[no-untyped-call]
        gradients.append([p.grad for p in network.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_new_networks_are_unsure_of_all_classes_alike() -> None:
    network, masks = small().requires_grad_(False), torch.randint(5, (4, 32, 32))
    for logits in network.all_logits(images(4, 3, 32, 32)).values():
        assert float(F.cross_entropy(logits, masks)) == pytest.approx(math.log(5), rel=0.15)


def test_folding_gives_the_same_logits() -> None:
    network = small(preactivation=False)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.ndim == 1:
                value.uniform_(0.5 if name.endswith("var") else -1.0, 1.5, generator=generator)
    folded, x = fold_norms(network.eval()), images(2, 3, 17, 30)
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.inference_mode():
        torch.testing.assert_close(folded(x), network(x), rtol=1e-4, atol=1e-4)


def test_a_spec_of_a_classifier_is_refused() -> None:
    with pytest.raises(UsageError, match="needs a model with a head for pixels, and this one has LinearHead"):
        build(Spec())


def test_fields_of_the_spec_and_of_its_head_are_set_by_name() -> None:
    network = small(output_stride=4, norm="group", channels=1)
    assert network.spec.stage_strides["C3"] == 4
    assert isinstance(network.classifier.get_submodule("1"), nn.GroupNorm)
    with pytest.raises(UsageError, match="No field of the spec is called 'auxilary': did you mean auxiliary"):
        small(auxilary=True)
    with pytest.raises(UsageError, match=r"No field of the spec is called 'auxiliary'"):
        resnets.create("resnet18", auxiliary=True)
    with pytest.raises(UsageError, match="norm takes 'batch' or 'frozen'"):
        resnets.create("resnet18", norm="instance")
