"""The gradients of weights on small maps, against autograd's, and in the loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from resnets.models.catalog import find
from resnets.training import weight_gradients
from resnets.training.weight_gradients import OnSmallMaps, Sizes, on_small_maps, weight_gradient
from tests.training.test_loop import RECIPE, training_of

CPU = torch.device("cpu")


@pytest.fixture
def amx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})


@pytest.mark.parametrize("size", [(1, 1), (5, 4), (8, 7)])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [
        ((3, 3), (1, 1), (1, 1), (1, 1)),
        ((3, 3), (2, 2), (1, 1), (1, 1)),
        ((1, 1), (2, 2), (0, 0), (1, 1)),
        ((3, 3), (1, 1), (2, 2), (2, 2)),
        ((1, 3), (2, 1), (0, 2), (1, 2)),
        ((7, 7), (2, 2), (3, 3), (1, 1)),
    ],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_it_is_autograds(
    size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, memory_format: torch.memory_format
) -> None:
    g = torch.Generator().manual_seed(1)
    inputs = torch.randn(3, 4, *size, generator=g, dtype=torch.float64).contiguous(memory_format=memory_format)
    weight = torch.randn(6, 4, *kernel, generator=g, dtype=torch.float64, requires_grad=True)
    outputs = torch.conv2d(inputs, weight, None, stride, padding, dilation)
    gradient = torch.randn(outputs.shape, generator=g, dtype=torch.float64).contiguous(memory_format=memory_format)
    (expected,) = torch.autograd.grad(outputs, weight, gradient)
    found = weight_gradient(gradient, inputs, weight.shape, stride, padding, dilation)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "groups", "bias"),
    [(1, 3, 2, 1, False), (1, 3, 2, 4, True), (1, 5, 1, 1, False), (1, 7, 2, 1, True), (2, 5, 3, 1, False)],
)
@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv2d, nn.Conv3d])
def test_places_that_meet_only_padding_have_no_gradient(
    kind: Any, side: int, kernel: int, stride: int, groups: int, bias: bool
) -> None:
    torch.manual_seed(1)
    layer = kind(32, 64, kernel, stride, kernel // 2, groups=groups, bias=bias)
    inputs = torch.randn(8, 32, *[side] * (layer.weight.ndim - 2), requires_grad=True)
    leaves = [inputs, *layer.parameters()]
    expected = torch.autograd.grad(layer(inputs).square().sum(), leaves)
    for _ in range(4):
        freed = [torch.full(layer.weight.shape, 1e30, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)] * 4
        del freed  # what oneDNN finds in memory
        with OnSmallMaps():
            with torch.autocast("cpu", torch.bfloat16):
                outputs = layer(inputs)
            found = torch.autograd.grad(outputs.float().square().sum(), leaves)
        for one, other in zip(found, expected, strict=True):
            assert (one - other).norm() <= 0.02 * other.norm()


@pytest.mark.usefixtures("amx")
def test_gradients_of_a_network_are_the_usual_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_gradients, "CHANNELS", 8)
    calls = 0
    own = weight_gradients.weight_gradient

    def counted(*arguments: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return own(*arguments)

    monkeypatch.setattr(weight_gradients, "weight_gradient", counted)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.ReLU(),  # 16 x 16: more positions than 64
        nn.Conv2d(8, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 1), nn.Conv2d(16, 16, 3, groups=4, bias=False),  # a bias; groups
        nn.Conv2d(16, 8, 3, padding="same", bias=False), nn.Conv2d(8, 4, 1, bias=False),  # a name, few outputs
        nn.Conv2d(4, 12, 3, dilation=2, bias=False),
    ).double()  # fmt: skip
    inputs = torch.randn(2, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    leaves = [inputs, *network.parameters()]
    expected = torch.autograd.grad(network(inputs).square().sum(), leaves)
    with OnSmallMaps():
        found = torch.autograd.grad(network(inputs).square().sum(), leaves)
    assert calls == 2
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    with OnSmallMaps(), torch.no_grad():
        network(inputs)
    assert calls == 2
    with OnSmallMaps():  # as with a memory limit, where parts of the forward pass are done again in the backward pass
        outputs = checkpoint(network, inputs, use_reentrant=False)
        again = torch.autograd.grad(outputs.square().sum(), leaves)
    assert calls == 4
    assert all(torch.equal(one, other) for one, other in zip(again, found, strict=True))


def test_it_is_for_bf16_on_the_cpu() -> None:
    assert isinstance(on_small_maps(CPU, "bf16"), OnSmallMaps)
    assert not isinstance(on_small_maps(CPU, "fp32"), OnSmallMaps)
    assert not isinstance(on_small_maps(torch.device("cuda"), "bf16"), OnSmallMaps)


@pytest.mark.usefixtures("amx")
@pytest.mark.parametrize("bn_batch", [None, 8])
def test_a_step_has_the_gradients_of_one_without(bn_batch: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    model = replace(find("resnet18"), classes=10, channels=1, stem="cifar")  # on 8 x 8 digits
    training, batches = training_of(replace(RECIPE, model=model, precision="bf16", bn_batch=bn_batch))
    batch = training.with_rng_keys(batches.make(0))

    def gradients() -> list[torch.Tensor]:
        training.optimizer.zero_grad()
        training.accumulate(batch)
        return [p.grad.clone() for p in training.network.parameters() if p.grad is not None]

    found = gradients()
    monkeypatch.setattr(weight_gradients, "POSITIONS", 0)
    expected = gradients()
    assert not all(map(torch.equal, found, expected))
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() <= 0.01 * other.norm()
