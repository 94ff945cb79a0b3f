"""Gates: timm's weights load from a file, and logits and gradients are timm's."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.models.resnet import BasicBlock, Bottleneck
from timm.models.resnet import ResNet as TimmResNet
from torch import nn

import resnets
from resnets.artifacts.pretrained_names import rename

# A name of each kind; what differs in its depths or widths alone is slow.
KINDS = ("seresnet18", "seresnext26d_32x4d", "ecaresnetlight", "cbam_resnet18", "gc_resnet50")
LARGER = (
    "seresnet34",
    "seresnet101",
    "seresnet152",
    "seresnet152d",
    "seresnext50_32x4d",
    "seresnext101_32x4d",
    "seresnext101_32x8d",
    "seresnext101d_32x8d",
    "seresnext101_64x4d",
    "ecaresnet50d",
    "ecaresnet101d",
    "cbam_resnet50",
)
NAMES = [*KINDS, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGER)]


def theirs(name: str) -> nn.Module:
    """timm's network with weights and running statistics that are nowhere trivial."""
    torch.manual_seed(0)
    gate, _, plain = name.partition("_")
    if gate in ("cbam", "gc"):  # timm has the gates, and no name for the networks
        block, depths = {"resnet18": (BasicBlock, (2, 2, 2, 2)), "resnet50": (Bottleneck, (3, 4, 6, 3))}[plain]
        network: nn.Module = TimmResNet(block, depths, block_args={"attn_layer": gate})
    else:
        network = timm.create_model(name)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, 0, 0.1)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return network


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_a_file_give_timms_logits_and_gradients(name: str, tmp_path: Path) -> None:
    peer, file = theirs(name), tmp_path / "weights.pth"
    torch.save(peer.state_dict(), file)
    network = resnets.create(name, weights=file, weights_stride="3x3")

    images, labels = torch.randn(2, 3, 40, 40), torch.tensor([3, 500])
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        with torch.no_grad():
            expected = peer.to(dtype).eval()(images.to(dtype))
            found = network.to(dtype).eval()(images.to(dtype))
        assert (found - expected).abs().max() <= tolerance * expected.abs().max()

    for net in (peer, network):
        F.cross_entropy(net.train()(images.double()), labels).backward()  # type: ignore[no-untyped-call]
    gradients = rename({key: p.grad for key, p in peer.named_parameters() if p.grad is not None}, network)
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None
        error = (parameter.grad - gradients[key]).abs().max()
        assert error <= 1e-10 * gradients[key].abs().max() + 1e-15, key
