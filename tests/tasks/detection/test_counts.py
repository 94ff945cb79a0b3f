"""The parameters and multiply-adds of detectors, next to those of their networks and of torchvision."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.models import detection

from resnets.core.errors import UsageError
from resnets.models import counts
from resnets.models.catalog import CATALOG, find
from resnets.models.heads import LinearHead
from resnets.tasks.detection.network import Detector
from tests.tasks.detection.small import HEADS


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50d", "resnetv2_50", "resnext50_32x4d", "res2net50_26w_4s", "resnetrs50"]
)
def test_counts_are_those_of_the_network(name: str, kind: str) -> None:
    pattern = f"fasterrcnn_{name}_c4" if kind == "c4" else f"{kind}_{name}_fpn"
    spec = replace(find(pattern), classes=5)
    with torch.device("meta"):
        network = Detector(spec)
    by_layer: dict[str, int] = {}
    for key, parameter in network.named_parameters():
        layer = key.removeprefix("backbone.body.").rpartition(".")[0]
        by_layer[layer] = by_layer.get(layer, 0) + parameter.numel()
    assert {layer.name: layer.parameters for layer in counts.layers(spec, (65, 98)) if layer.parameters} == by_layer


def test_counts_are_those_that_torchvision_states() -> None:
    for name in ("FasterRCNN", "RetinaNet"):
        weights = getattr(detection, f"{name}_ResNet50_FPN_Weights").COCO_V1
        spec = find(f"{name.lower()}_resnet50_fpn")
        assert counts.multiply_adds(spec, 800) / 1e9 == pytest.approx(weights.meta["_ops"], abs=0.01)
        assert counts.parameters(spec) == weights.meta["num_params"]


def test_every_classifier_on_imagenet_has_detectors() -> None:
    for name, spec in CATALOG.items():
        for pattern in ("fasterrcnn_{}_fpn", "maskrcnn_{}_fpn", "retinanet_{}_fpn", "fasterrcnn_{}_c4"):
            if isinstance(spec.head, LinearHead) and spec.usual_size == 224:
                found = find(pattern.format(name))
                assert found == replace(spec, norm=found.norm, classes=90, head=found.head)
                assert found.norm == ("frozen" if spec.norm == "batch" else spec.norm)
    with pytest.raises(UsageError, match="did you mean fasterrcnn_resnet50_fpn"):
        find("fasterrcnn_resnet_50_fpn")
