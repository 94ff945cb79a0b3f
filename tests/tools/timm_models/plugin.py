"""A pytest plugin with which timm's own `tests/test_models.py` tests the networks of this catalog.

    pytest -p tests.tools.timm_models.plugin -c /dev/null --rootdir CHECKOUT CHECKOUT/tests/test_models.py

It stands in for timm's `create_model`, `list_models` and settings of pretrained weights, before that file is imported;
`RESNETS_TIMM_NAMES`, names with commas between, chooses some networks. Tests of timm's own networks are left out.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
import timm
from torch import nn

from resnets.artifacts.create import create
from resnets.models import counts
from resnets.models.catalog import CATALOG
from resnets.models.features import FeatureNet
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec
from tests.tools.timm_models.names import NAMES

# Blocks above which a new network overflows in evaluation, where statistics are not yet those of any data. There every
# block starts as its shortcut, as all of timm's do.
DEEP = 100
POOLS = {"": "none", "avg": "average", "max": "max"}
CHOSEN = os.environ.get("RESNETS_TIMM_NAMES", ",".join(NAMES)).split(",")


class TimmResNet(ResNet):
    """A network whose pools are called as in timm."""

    def reset_classifier(self, classes: int, pool: Any = None) -> None:
        super().reset_classifier(classes, None if pool is None else POOLS[pool])  # type: ignore[arg-type]


class TimmFeatureNet(FeatureNet):
    """Feature maps; a class to which `create_model` may add what timm's tests read."""


def default_cfg(spec: Spec) -> dict[str, Any]:
    """What timm says of the pretrained weights of a network, as far as its tests read it."""
    size = spec.usual_size
    layers = counts.layers(replace(spec, classes=0), size)
    return {
        "input_size": (spec.channels, size, size),
        "pool_size": next(layer.shape[1:] for layer in reversed(layers) if re.search(r"\.conv\d$", layer.name)),
        "num_classes": spec.classes,
        "classifier": "fc",
        "first_conv": layers[0].name,
    }


def create_model(
    name: str,
    pretrained: bool = False,
    *,
    num_classes: int | None = None,
    global_pool: str | None = None,
    features_only: bool = False,
    feature_cls: str | None = None,
) -> ResNet | FeatureNet:
    fields: dict[str, Any] = {} if global_pool is None else {"pool": POOLS[global_pool]}
    network = cast(Any, create)(name, classes=num_classes, features_only=features_only, **fields)
    spec = CATALOG[name]
    if sum(spec.depths) > DEEP and spec.shortcut != "none":
        kind = f"{'conv' if spec.preactivation else 'bn'}{2 if spec.block == 'basic' else 3}"
        for block, _ in spec.blocks():
            nn.init.zeros_(network.get_parameter(f"{block}.{kind}.weight"))
    network.__class__ = TimmFeatureNet if features_only else TimmResNet
    network.default_cfg = default_cfg(spec)
    return network  # type: ignore[no-any-return]


def list_models(
    filter: Sequence[str] | str = "",
    module: Any = "",
    pretrained: bool = False,
    exclude_filters: Sequence[str] = (),
    name_matches_cfg: bool = False,
    include_tags: bool | None = None,
) -> list[str]:
    """The chosen names; none where pretrained weights, or timm's networks of other kinds, are asked for."""
    if pretrained or filter:
        return []
    return [name for name in CHOSEN if not any(fnmatch.fnmatch(name, each) for each in exclude_filters)]


def get_pretrained_cfg_value(name: str, key: str) -> Any:
    return default_cfg(CATALOG[name]).get(key)


for stand_in in (create_model, list_models, get_pretrained_cfg_value):
    setattr(timm, stand_in.__name__, stand_in)
timm.list_pretrained = lambda *filters: []


def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    parameters = [getattr(getattr(item, "callspec", None), "params", {}) for item in items]
    kept = [item for item, each in zip(items, parameters, strict=True) if each.get("model_name") in CHOSEN]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
