"""Copies, averages and files of a network by torch's and safetensors' own means."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from resnets.models.resnet import ResNet
from resnets.models.spec import Spec
from tests.tools.small import SPECS, images, trained

EACH = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def saved_whole(network: ResNet) -> ResNet:
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    loaded: ResNet = torch.load(file, weights_only=False)
    return loaded


@EACH
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n)), saved_whole])
def test_a_copy_computes_the_same_with_weights_of_its_own(copied: Callable[[ResNet], ResNet], spec: Spec) -> None:
    network = trained(spec)
    other = copied(network)
    assert other.spec == spec
    assert torch.equal(other(images()), network(images()))
    with torch.no_grad():
        other.fc.bias.add_(1)
    torch.testing.assert_close(other(images()), network(images()) + 1)


@EACH
def test_safetensors_and_distributed_checkpoints_bring_weights_back(spec: Spec, tmp_path: Path) -> None:
    network, other = trained(spec), trained(spec, seed=2)
    assert not torch.equal(other(images()), network(images()))
    safetensors.torch.save_model(network, str(tmp_path / "model.safetensors"))
    safetensors.torch.load_model(other, tmp_path / "model.safetensors")
    assert torch.equal(other(images()), network(images()))
    other = trained(spec, seed=2)
    save(network.state_dict(), checkpoint_id=tmp_path / "dcp")
    state = other.state_dict()
    load(state, checkpoint_id=tmp_path / "dcp")
    other.load_state_dict(state)
    assert torch.equal(other(images()), network(images()))


def test_the_average_of_weights_and_its_statistics() -> None:
    network = trained()
    average: Any = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.75))
    average.update_parameters(network)
    before = network.fc.weight.detach().clone()
    with torch.no_grad():
        network.fc.weight.add_(1)
    average.update_parameters(network)
    torch.testing.assert_close(average.module.fc.weight, before + 0.25)
    update_bn([images(8)], average)
    with torch.no_grad():
        mean = network.get_submodule("conv1")(images(8)).mean((0, 2, 3))
    torch.testing.assert_close(average.module.bn1.running_mean, mean)


@EACH
def test_parametrized_and_pruned_convolutions_compute_and_learn(spec: Spec) -> None:
    network = trained(spec)
    expected = network(images())
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for convolution in convolutions[:-1]:
        weight_norm(convolution)
    torch.testing.assert_close(network(images()), expected)
    spectral_norm(network.fc)
    orthogonal(convolutions[-1])
    network(images()).square().mean().backward()
    assert all(p.grad is not None for p in network.parameters())
    network = trained(spec)
    pruned = [(module, "weight") for module in network.modules() if isinstance(module, nn.Conv2d)]
    prune.global_unstructured(pruned, pruning_method=prune.L1Unstructured, amount=0.5)
    zeros = sum((module.weight == 0).sum().item() for module, _ in pruned)
    assert zeros == pytest.approx(sum(module.weight.numel() for module, _ in pruned) / 2, abs=1)
    assert not torch.equal(network(images()), expected)


def test_synchronized_batch_norm_computes_the_same_in_evaluation() -> None:
    network = trained()
    expected = network(images())
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    assert isinstance(converted.bn1, nn.SyncBatchNorm)
    torch.testing.assert_close(converted(images()), expected)
