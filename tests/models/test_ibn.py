"""IBN-Net: the function and the keys of the authors' code, written down again from its definition."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import resnets
from resnets.models.catalog import CATALOG
from resnets.models.initialize import create

State = dict[str, Tensor]


def conv(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)


def batch_norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, variance, weight, bias = (state[f"{name}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, mean, variance, weight, bias)


def instance_norm(state: State, name: str, x: Tensor) -> Tensor:
    """Of each sample and channel by itself."""
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, unbiased=False)
    weight, bias = (state[f"{name}.{n}"][None, :, None, None] for n in ("weight", "bias"))
    return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias


def ibn_net(state: State, option: str, depths: tuple[int, ...], x: Tensor) -> Tensor:
    """The logits of a ResNet of bottlenecks or basic blocks: Pan et al. 2018, figures 3b and 3c, and their code."""
    x = conv(state, "conv1", x, 2)
    x = F.relu((instance_norm if option == "b" else batch_norm)(state, "bn1", x))
    x = F.max_pool2d(x, 3, 2, 1)
    for stage, depth in enumerate(depths, start=1):
        for number in range(depth):
            block, stride = f"layer{stage}.{number}", 2 if stage > 1 and number == 0 else 1
            basic = f"{block}.conv3.weight" not in state
            y = conv(state, f"{block}.conv1", x, stride if basic else 1)
            if option == "a" and stage < 4:
                half = y.shape[1] // 2
                mixed = instance_norm(state, f"{block}.bn1.IN", y[:, :half])
                y = torch.cat([mixed, batch_norm(state, f"{block}.bn1.BN", y[:, half:])], 1)
            else:
                y = batch_norm(state, f"{block}.bn1", y)
            y = batch_norm(state, f"{block}.bn2", conv(state, f"{block}.conv2", F.relu(y), 1 if basic else stride))
            if not basic:
                y = batch_norm(state, f"{block}.bn3", conv(state, f"{block}.conv3", F.relu(y)))
            if f"{block}.downsample.0.weight" in state:
                x = batch_norm(state, f"{block}.downsample.1", conv(state, f"{block}.downsample.0", x, stride))
            y = y + x
            if option == "b" and stage <= 2 and number == depth - 1:
                y = instance_norm(state, f"{block}.IN", y)
            x = F.relu(y)
    return F.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])


@pytest.mark.parametrize(
    ("name", "depths"),
    [
        *((f"resnet{layers}_ibn_{option}", (2, 2, 1, 1)) for layers in (18, 50) for option in "ab"),
        *(
            pytest.param(f"resnet{layers}_ibn_{option}", None, marks=pytest.mark.slow)
            for layers in (18, 34, 50, 101)
            for option in "ab"
        ),
    ],
)
def test_weights_of_a_file_give_the_authors_logits_and_gradients(
    name: str, depths: tuple[int, ...] | None, tmp_path: Path
) -> None:
    spec, option = CATALOG[name], name[-1]
    spec = replace(spec, depths=depths or spec.depths)
    source = create(spec, seed=1)
    torch.manual_seed(0)
    for key, value in source.state_dict().items():
        if value.ndim == 1 and value.is_floating_point() and not key.startswith("fc."):
            value.uniform_(0.5, 1.5) if key.endswith(("var", "weight")) else value.normal_(0, 0.1)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    stride: Any = {"weights_stride": "3x3"} if spec.block == "bottleneck" else {}
    network = resnets.create(name, depths=spec.depths, weights=tmp_path / "weights.pth", **stride).eval()
    images = torch.randn(2, 3, 48, 48)
    state = network.state_dict()
    with torch.no_grad():
        expected = ibn_net(state, option, spec.depths, images)
        assert (network(images) - expected).abs().max() <= 1e-5 * expected.abs().max()

    network, images, labels = network.double(), images.double(), torch.tensor([3, 500])
    own = {key: value.requires_grad_() for key, value in network.named_parameters()}
    expected = ibn_net({**network.state_dict(), **own}, option, spec.depths, images)
    logits = network(images)
    assert (logits - expected).abs().max() <= 1e-10 * expected.abs().max()
    gradients = [torch.autograd.grad(F.cross_entropy(each, labels), list(own.values())) for each in (logits, expected)]
    largest = max(float(known.abs().max()) for known in gradients[1])  # that of a shift before instance norm is 0
    for key, found, known in zip(own, *gradients, strict=True):
        assert (found - known).abs().max() <= 1e-10 * known.abs().max() + 1e-14 * largest, key


def test_the_keys_are_the_authors() -> None:
    a, b = (set(resnets.create(f"resnet50_ibn_{option}").state_dict()) for option in "ab")
    plain = set(resnets.create("resnet50").state_dict())
    norms = {f"layer{stage}.{n}.bn1" for stage, depth in ((1, 3), (2, 4), (3, 6)) for n in range(depth)}
    entries = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert plain - a == {f"{norm}.{entry}" for norm in norms for entry in entries}
    assert a - plain == {f"{norm}.IN.{entry}" for norm in norms for entry in entries[:2]} | {
        f"{norm}.BN.{entry}" for norm in norms for entry in entries
    }
    assert b - plain == {f"{block}.IN.{entry}" for block in ("layer1.2", "layer2.3") for entry in entries[:2]}
    assert plain - b == {f"bn1.{entry}" for entry in entries[2:]}
