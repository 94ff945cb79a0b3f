"""The same function as torchvision's and timm's networks, in values and in gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from resnets.artifacts.pretrained_names import rename
from resnets.models.catalog import CATALOG
from resnets.models.initialize import allocate
from resnets.models.resnet import ResNet

TORCHVISION = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
)
TIMM = ("seresnet50", "resnet50d", "resnetv2_50")
# Of kinds that smaller ones have, too.
LARGE = ("resnet34", "resnet101", "resnet152", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet101_2")
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in TORCHVISION + TIMM]
PIXELS = 24


def theirs(name: str, **choices: Any) -> nn.Module:
    """The peer's network with weights and running statistics that are nowhere trivial."""
    torch.manual_seed(0)
    network: nn.Module = (
        torchvision.models.get_model(name, weights=None) if name in TORCHVISION else timm.create_model(name, **choices)
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, 0, 0.1)
            nn.init.normal_(module.running_mean, 0, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return network


def ours(name: str, state: dict[str, Tensor], **choices: Any) -> ResNet:
    network = allocate(replace(CATALOG[name], **choices))
    network.load_state_dict(state if name in TORCHVISION else rename(state, network))
    return network


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_gradients_are_the_peers(name: str) -> None:
    peer = theirs(name)
    network = ours(name, peer.state_dict())

    x = torch.randn(2, 3, PIXELS, PIXELS)
    with torch.inference_mode():
        expected = peer.eval()(x)
        assert (network.eval()(x) - expected).abs().max() <= 1e-5 * expected.abs().max()

    x, labels = x.double(), torch.tensor([3, 500])
    for net in (peer, network):
        F.cross_entropy(net.double().train()(x), labels).backward()  # type: ignore[no-untyped-call]
    gradients = {k: p.grad for k, p in peer.named_parameters() if p.grad is not None}
    if name not in TORCHVISION:
        gradients = {
            k: v for k, v in rename(gradients, network).items() if "num_batches" not in k and "running" not in k
        }
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None
        error = (parameter.grad - gradients[key]).abs().max()
        assert error <= 1e-6 * gradients[key].abs().max() + 1e-15, key


@pytest.mark.parametrize("name", ["resnet50d", "seresnet50"])
def test_gelu_in_place_of_relu_is_timms(name: str) -> None:
    peer = theirs(name, act_layer="gelu").eval()
    network = ours(name, peer.state_dict(), activation="gelu").eval()
    x = torch.randn(2, 3, PIXELS, PIXELS)
    with torch.inference_mode():
        expected = peer(x)
        assert (network(x) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_dilated_networks_are_torchvisions() -> None:
    torch.manual_seed(0)
    peer = torchvision.models.resnet50(replace_stride_with_dilation=[False, True, True]).eval()
    network = allocate(replace(CATALOG["resnet50"], output_stride=8)).eval()
    network.load_state_dict(peer.state_dict())
    x = torch.randn(1, 3, 65, 65)
    with torch.inference_mode():
        expected = peer(x)
        assert (network(x) - expected).abs().max() <= 1e-5 * expected.abs().max()
        assert network.features(x)["C5"].shape[-1] == 9
