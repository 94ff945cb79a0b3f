"""What timm and torchvision call networks, weights and arguments is read, or answered with what to write."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import resnets
from resnets.artifacts import pretrained
from resnets.core.errors import UsageError


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"num_classes": 5}, "did you mean classes?"),
        ({"in_chans": 1}, "did you mean channels?"),
        ({"pretrained": True}, 'did you mean weights, such as weights="torchvision:DEFAULT"'),
        ({"drop_path_rate": 0.1}, "did you mean drop_path?"),
        ({"global_pool": "avg"}, "did you mean pool?"),
        ({"act_layer": "silu"}, "did you mean activation?"),
        ({"checkpoint_path": "a.pth"}, "did you mean weights?"),
        ({"device": "cuda"}, 'did you mean create(...).to("cuda")?'),
        ({"feature_only": True}, "did you mean features_only?"),
    ],
)
def test_arguments(given: dict[str, Any], meant: str) -> None:
    with pytest.raises(UsageError, match=re.escape(meant)):
        resnets.create("resnet18", **given)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("resnet50.a1_in1k", "resnets.create('resnet50', weights='timm:a1_in1k')?"),
        ("timm/resnet50.a1_in1k", "resnets.create('resnet50', weights='timm:a1_in1k')?"),
        ("timm/resnet18", "resnets.create('resnet18')?"),
    ],
)
def test_names_with_the_tag_of_weights(name: str, meant: str) -> None:
    with pytest.raises(UsageError, match=re.escape(meant)):
        resnets.create(name)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
@pytest.mark.parametrize(
    ("tag", "asked"),
    [
        ("cifar_resnet20.a1", "cifar_resnet20.a1"),
        ("a1", "cifar_resnet20.a1"),
        ("cifar_resnet20", "cifar_resnet20"),
        ("", "cifar_resnet20"),
    ],
)
def test_a_tag_may_have_the_name_of_its_network(
    library: str, tag: str, asked: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    net = resnets.create("cifar_resnet20", classes=2, seed=1)
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    found = []

    def locate(weights: str) -> Path:
        found.append(weights)
        return tmp_path / "weights.pth"

    monkeypatch.setattr(pretrained, "locate", locate)
    loaded = resnets.create("cifar_resnet20", classes=2, seed=2, weights=f"{library}:{tag}")
    assert found == [f"{library}:{asked}"]
    assert torch.equal(next(loaded.parameters()), next(net.parameters()))
