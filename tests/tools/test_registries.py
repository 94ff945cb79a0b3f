"""detectron2's and MMDetection's registries with the wrappers of docs/clients.md.

Neither installs from wheels, so that stand-ins of the same shape take their places. detectron2's `Registry` is fvcore's
and MMDetection's is mmengine's: they are used where they are installed (`scripts/tools`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tests.tools import guide
from tests.tools.small import images


class Registry:
    """Classes by name: `register` and `get` of fvcore, `register_module` and `build` of mmengine."""

    def __init__(self, name: str) -> None:
        self.name, self.classes = name, dict[str, Any]()

    def register(self) -> Callable[[type], type]:
        return lambda cls: self.classes.setdefault(cls.__name__, cls)

    register_module = register

    def get(self, name: str) -> Any:
        return self.classes[name]

    def build(self, settings: dict[str, Any]) -> Any:
        return self.classes[settings["type"]](**{name: v for name, v in settings.items() if name != "type"})


class BaseModule(nn.Module):
    """mmengine's, as far as a backbone needs it."""

    def __init__(self, init_cfg: object = None) -> None:
        super().__init__()
        self.init_cfg = init_cfg

    def init_weights(self) -> None:
        for module in self.children():
            if callable(initialize := getattr(module, "init_weights", None)):
                initialize()


@dataclass(frozen=True)
class ShapeSpec:
    """detectron2's, of a feature map."""

    channels: int | None = None
    height: int | None = None
    width: int | None = None
    stride: int | None = None


def put(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    """Puts a module of these members, and empty ones above it, in the place of modules that are not there."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        above = ".".join(parts[:end])
        if above not in sys.modules:
            monkeypatch.setitem(sys.modules, above, ModuleType(above))
    vars(sys.modules[name]).update(members)


def test_detectron2_builds_a_backbone_that_says_what_it_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        from fvcore.common.registry import Registry as Theirs
    except ImportError:
        Theirs = Registry  # noqa: N806
    registry = Theirs("BACKBONE")
    members = {"BACKBONE_REGISTRY": registry, "Backbone": nn.Module, "ShapeSpec": ShapeSpec}
    put(monkeypatch, "detectron2.modeling", **members)
    guide.run("detectron2", tmp_path, monkeypatch)
    settings = SimpleNamespace(NAME="resnet18", WEIGHTS=None, OUT_FEATURES=["C3", "C4", "C5"])
    cfg = SimpleNamespace(MODEL=SimpleNamespace(RESNETS=settings, BACKBONE=SimpleNamespace(FREEZE_AT=2)))
    backbone = registry.get("ResNets")(cfg, ShapeSpec(channels=3))
    shapes, maps = backbone.output_shape(), backbone(images(2, 64))
    assert list(maps) == ["C3", "C4", "C5"]
    for name, found in maps.items():
        assert found.shape == (2, shapes[name].channels, 64 // shapes[name].stride, 64 // shapes[name].stride)
    check_frozen(backbone)


def test_mmdetection_builds_a_backbone_from_a_dictionary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        from mmengine.registry import Registry as Theirs
    except ImportError:
        Theirs = Registry  # noqa: N806
        put(monkeypatch, "mmengine.model", BaseModule=BaseModule)
    put(monkeypatch, "mmdet.registry", MODELS=Theirs("models"))
    backbone = guide.run("MMDetection", tmp_path, monkeypatch).backbone
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    backbone.init_weights()  # what a runner calls; given weights stay
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert [found.shape[1:] for found in backbone(images(2, 64))] == [
        (64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)
    ]  # fmt: skip
    check_frozen(backbone)


def check_frozen(backbone: nn.Module) -> None:
    """The stem and the first stage have no gradients, all others have."""
    last = backbone.train()(images(2, 64))
    (last["C5"] if isinstance(last, dict) else last[-1]).square().mean().backward()
    learned = {name.split(".")[1] for name, p in backbone.named_parameters() if p.grad is not None}
    assert learned == {"layer2", "layer3", "layer4"}
