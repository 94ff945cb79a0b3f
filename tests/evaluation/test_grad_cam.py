"""Grad-CAM, against captum's on every kind of network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from captum.attr import LayerGradCam
from torch import Tensor, nn

import resnets
from resnets.core.errors import UsageError
from resnets.evaluation.grad_cam import grad_cam
from resnets.models.resnet import ResNet

NAMES = {
    "resnet18": 64, "resnet50": 64, "resnetv2_50": 64, "cifar_resnet20": 32, "cifar_preact110": 32, "seresnet18": 64,
    "cbam_resnet18": 64, "resnet50_gn": 64, "resnet18d": 64,
}  # fmt: skip


def network_of(name: str) -> ResNet:
    torch.manual_seed(0)
    network = resnets.create(name, classes=7)
    assert isinstance(network, ResNet)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return network


def by_captum(network: ResNet, module: str, inputs: Tensor, target: Tensor) -> Tensor:
    raw = LayerGradCam(network.eval(), network.get_submodule(module)).attribute(inputs, target, relu_attributions=True)

    def scaled(heat: Tensor) -> Tensor:
        low, high = (getattr(heat.flatten(1), side)(1)[:, None, None, None] for side in ("amin", "amax"))
        found: Tensor = (heat - low) / (high - low + 1e-7)
        return found

    return scaled(F.interpolate(scaled(raw.detach()), inputs.shape[2:], mode="bilinear"))[:, 0]


@pytest.mark.parametrize("name", NAMES)
def test_heat_maps_are_captums(name: str) -> None:
    network, inputs = network_of(name).double(), torch.randn(2, 3, NAMES[name], NAMES[name] + 32).double()
    modules = network.spec.stage_modules
    for stage in (list(modules)[-1], list(modules)[-2]):
        target = torch.tensor([3, 5])
        heat, logits = grad_cam(network, inputs, target, stage)
        torch.testing.assert_close(heat, by_captum(network, modules[stage], inputs, target).float(), rtol=0, atol=1e-5)
        assert heat.shape == (2, *inputs.shape[2:])
        torch.testing.assert_close(logits, network(inputs).detach())
        assert heat.max() == pytest.approx(1, abs=1e-3)


def test_nothing_of_the_network_changes() -> None:
    network = network_of("resnet18").train()
    inputs = torch.randn(2, 3, 64, 64)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.inference_mode():
        alone, logits = grad_cam(network, inputs.clone())
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
    again, _ = grad_cam(network, inputs, logits.argmax(1))
    assert torch.equal(alone, again)
    frozen = network.requires_grad_(False)
    assert torch.equal(grad_cam(frozen, inputs)[0], again)


def test_a_map_without_a_gradient_is_cold() -> None:
    network = network_of("cifar_resnet20")
    nn.init.zeros_(network.fc.weight)
    heat, _ = grad_cam(network, torch.randn(1, 3, 32, 32))
    np.testing.assert_array_equal(heat.numpy(), 0)


def test_an_unknown_stage_is_refused() -> None:
    with pytest.raises(UsageError, match="No stage is called 'C9'"):
        grad_cam(network_of("cifar_resnet20"), torch.zeros(1, 3, 32, 32), stage="C9")
