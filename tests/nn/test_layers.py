"""Layers that torch has not: frozen batch norm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from resnets.core.errors import FileError
from resnets.models.catalog import CATALOG
from resnets.models.initialization import Initialization
from resnets.models.initialize import create, initialize
from resnets.models.spec import Spec
from resnets.models.surgery import fold_norms, load_strictly
from resnets.nn.layers import FrozenBatchNorm, Layers

_BATCH_NORM: dict[int, Any] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
SMALL = Spec(depths=(1, 1), widths=(8, 16), stem_width=8, classes=5, norm="frozen")


def statistics(channels: int) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return {name: torch.rand(channels, generator=g) + 0.5 for name in ("weight", "bias", "running_mean", "running_var")}


def test_frozen_batch_norm_is_torchvisions() -> None:
    ours, theirs = FrozenBatchNorm(6, eps=1e-3), FrozenBatchNorm2d(6, eps=1e-3)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for module in (ours, theirs):
        module.load_state_dict(statistics(6))
    x = torch.randn(2, 6, 5, 4, requires_grad=True)
    y = torch.randn(2, 6, 5, 4)
    assert torch.equal(ours(x), theirs(x))
    (grad,) = torch.autograd.grad((ours(x) * y).sum(), x)
    (expected,) = torch.autograd.grad((theirs(x) * y).sum(), x)
    assert torch.equal(grad, expected)
    assert not list(ours.parameters())


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_it_is_batch_norm_in_evaluation_with_its_weights(dimensions: int) -> None:
    theirs = _BATCH_NORM[dimensions](6)
    theirs.load_state_dict({**statistics(6), "num_batches_tracked": torch.tensor(7)})
    ours = Layers(dimensions, "frozen").normalization(6)
    assert isinstance(ours, FrozenBatchNorm)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 6, *[3] * dimensions)
    for training in (True, False):
        torch.testing.assert_close(ours.train(training)(x), theirs.eval()(x))
    assert ours.train()(x.bfloat16()).dtype == torch.bfloat16
    assert "num_batches_tracked" in theirs.state_dict()


@pytest.mark.parametrize("name", ["resnet18", "resnet50d"])
def test_a_network_with_frozen_norms_takes_weights_of_batch_norm_and_keeps_its_statistics(name: str) -> None:
    spec = replace(CATALOG[name], classes=3)
    source = create(spec, seed=1).eval()
    with torch.no_grad():
        for key, value in source.state_dict().items():
            if value.ndim == 1 and "fc" not in key:
                value.uniform_(0.5, 1.5)
    network = create(replace(spec, norm="frozen"), seed=2).train()
    network.load_state_dict(source.state_dict())
    x = torch.randn(1, 3, 33, 33)  # one sample: no batch statistics are needed
    before = {key: value.clone() for key, value in network.named_buffers()}
    with torch.no_grad():
        torch.testing.assert_close(network(x), source(x), rtol=1e-4, atol=1e-4)
    network(x).sum().backward()
    assert all(torch.equal(value, before[key]) for key, value in network.named_buffers())
    assert all(p.grad is not None for p in network.parameters())


def test_new_frozen_norms_change_nothing_and_start_blocks_as_their_shortcuts() -> None:
    network = create(SMALL, seed=1, how=Initialization(zero_init_last=True))
    for module in network.modules():
        if isinstance(module, FrozenBatchNorm):
            x = torch.randn(1, len(module.weight), 4, 4)
            torch.testing.assert_close(module(x), x, rtol=1e-4, atol=1e-4)
    block = network.get_submodule("layer1.0")
    x = torch.randn(1, 8, 4, 4).relu()
    torch.testing.assert_close(block(x), x)
    block(x).sum().backward()
    assert network.get_parameter("layer1.0.conv2.weight").grad is not None
    initialize(network, seed=1)
    assert float(network.get_parameter("layer1.0.conv2.weight").detach().abs().max()) > 0


def test_frozen_norms_are_folded() -> None:
    network = create(SMALL).eval()
    with torch.no_grad():
        for _, value in network.named_buffers():
            value.uniform_(0.5, 1.5)
    folded, x = fold_norms(network), torch.randn(2, 3, 33, 33)
    assert not [m for m in folded.modules() if isinstance(m, FrozenBatchNorm)]
    with torch.inference_mode():
        torch.testing.assert_close(folded(x), network(x), rtol=1e-4, atol=1e-4)


def test_a_model_file_of_frozen_norms_is_checked_as_others_are() -> None:
    network = create(SMALL)
    state = network.state_dict()
    load_strictly(network, state, "there")
    state["bn1.running_var"] = -torch.ones(8)
    with pytest.raises(FileError, match=r"there holds NaN, infinity or a variance below 0 in bn1.running_var"):
        load_strictly(network, state, "there")
