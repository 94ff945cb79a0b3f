"""timm's names on the networks, as docs/clients.md has them, and timm's tools around them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from timm.layers.norm_act import freeze_batch_norm_2d
from timm.utils.model import ActivationStatsHook, freeze, unfreeze
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from tests.tools import guide
from tests.tools.small import images, trained


def test_the_guides_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = guide.run("timm", tmp_path, monkeypatch)
    assert example.logits.shape == (2, 10)
    assert example.pooled.shape == (2, example.net.num_features)
    assert example.net(example.images).shape == (2, 5)
    assert example.backbone.feature_info.reduction() == [4, 8, 16, 32]
    rates = {group["lr"] for group in example.optimizer.param_groups}
    assert max(rates) == 1e-3
    assert len(rates) > 4  # of each stage another


def test_the_average_of_weights_follows_the_network() -> None:
    network = trained()
    average = ModelEmaV3(network, decay=0.75)
    before = network.fc.weight.detach().clone()
    with torch.no_grad():
        network.fc.weight.add_(1)
    average.update(network)
    torch.testing.assert_close(average.module.fc.weight, before + 0.25)
    assert average(images()).shape == (2, 5)


def test_parts_are_frozen_and_unfrozen() -> None:
    network = trained()
    freeze(network, ["layer1"])
    assert not any(p.requires_grad for p in network.get_submodule("layer1").parameters())
    assert network.fc.weight.requires_grad
    unfreeze(network, ["layer1"])
    assert all(p.requires_grad for p in network.parameters())
    network = trained()
    expected = network(images())
    frozen = freeze_batch_norm_2d(network).train()
    torch.testing.assert_close(frozen(images()), expected)


def test_statistics_of_activations_are_recorded_by_stage() -> None:
    network = trained()

    def mean(module: nn.Module, inputs: object, output: Tensor) -> float:
        return output.mean().item()

    hook = ActivationStatsHook(network, ["layer?"], [mean])
    with torch.inference_mode():
        features = network.features(images())
    assert hook.stats["mean"] == [features["C2"].mean().item(), features["C3"].mean().item()]
