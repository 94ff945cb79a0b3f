"""torchvision's detectors and segmentation networks around a backbone: forward, backward and evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection import MaskRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from resnets.models.spec import Spec
from tests.tools import guide
from tests.tools.small import SPECS, images, trained

EACH = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def without_gradients(module: nn.Module) -> set[str]:
    """The parameters that can learn, and of which no gradient was computed."""
    return {name for name, p in module.named_parameters() if p.requires_grad and p.grad is None}


def test_the_guides_detector_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = guide.run("torchvision detection", tmp_path, monkeypatch)
    assert all(torch.isfinite(loss) for loss in example.losses.values())
    assert without_gradients(example.detector) == set()
    frozen = {name.split(".")[0] for name, p in example.net.named_parameters() if not p.requires_grad}
    assert frozen == {"conv1", "layer1"}
    assert [set(each) for each in example.found] == [{"boxes", "labels", "scores"}] * 2


@pytest.mark.parametrize("kind", [MaskRCNN, RetinaNet])
@EACH
def test_a_detector_gives_losses_and_answers(kind: type[nn.Module], spec: Spec) -> None:
    network = trained(replace(spec, norm="frozen"))
    names = list(spec.stage_modules)[1:]
    layers = {spec.stage_modules[name]: str(level) for level, name in enumerate(names)}
    channels = [spec.stage_channels[name] for name in names]
    backbone = BackboneWithFPN(network, layers, channels, 8, LastLevelMaxPool())
    anchors = AnchorGenerator(((16,),) * 3, ((1.0,),) * 3)
    name = "rpn_anchor_generator" if kind is MaskRCNN else "anchor_generator"
    few = (
        {"box_detections_per_img": 4, "box_batch_size_per_image": 8} if kind is MaskRCNN else {"detections_per_img": 4}
    )
    detector = kind(backbone, num_classes=3, min_size=64, max_size=64, **{name: anchors}, **few)
    mask = torch.zeros(1, 64, 64, dtype=torch.uint8)
    mask[:, 8:40, 8:40] = 1
    box = torch.tensor([[8.0, 8.0, 40.0, 40.0]])
    targets = [{"boxes": box, "labels": torch.tensor([1]), "masks": mask}] * 2
    losses: dict[str, Tensor] = detector(list(images(2, 64)), targets)
    assert all(torch.isfinite(loss) for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    assert without_gradients(detector) == set()
    answers = detector.eval()(list(images(2, 64)))
    assert all({"boxes", "labels", "scores"} <= set(answer) for answer in answers)


@EACH
def test_deeplab_learns_through_the_getter(spec: Spec) -> None:
    names = list(spec.stage_modules)[-2:]
    getter = IntermediateLayerGetter(
        trained(spec), dict(zip((spec.stage_modules[name] for name in names), ("aux", "out"), strict=True))
    )
    network = DeepLabV3(getter, DeepLabHead(spec.stage_channels[names[1]], 3, (2, 4)))
    out = network(images())["out"]
    assert out.shape == (2, 3, 32, 32)
    out.square().mean().backward()
    assert without_gradients(network) == set()
