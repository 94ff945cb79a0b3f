"""The networks that timm has, by name: the same weights under the same keys, the same logits and gradients."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.models.resnet import BasicBlock, Bottleneck
from timm.models.resnetv2 import _create_resnetv2_bit
from torch import nn

import resnets
from resnets.artifacts.pretrained_names import rename
from resnets.models import counts
from resnets.models.catalog import CATALOG
from resnets.models.surgery import fold_norms
from resnets.tasks.networks import build_network
from tests.models import test_parity
from tests.models.kinds import each

NAMES = [name for name in CATALOG if timm.is_model(name)]
SHALLOW = (2, 1, 1, 1)
# One network of each kind of stem, pool, shortcut, convolution, gate and middle; the first stage is two blocks deep and
# the others one.
KINDS = (
    "resnet10t",
    "resnet18d",
    "resnet26",
    "resnet50c",
    "resnet50s",
    "resnet50t",
    "resnet50_gn",
    "resnext50d_32x4d",
    "resnetv2_18",
    "resnetv2_34d",
    "resnetv2_50d",
    "resnetv2_50t",
    "resnetv2_50d_gn",
    "resnetblur18",
    "resnetblur50d",
    "resnetaa34d",
    "resnetaa50",
    "resnetrs50",
    "resnetv2_50x1_bit",
    "seresnet18",
    "seresnext26t_32x4d",
    "ecaresnet50d",
    "skresnet18",
    "skresnext50_32x4d",
    "res2net50_26w_4s",
    "res2next50",
    "resnest26d",
    "resnest50d_4s2x40d",
    "resnest50d_1s4x24d",
)
# Those of which each part is one of another kind's too, at small depth.
REPEATED = (
    "resnet26",
    "resnet50c",
    "resnet50s",
    "resnet50t",
    "resnetv2_18",
    "resnetv2_34d",
    "resnetv2_50t",
    "resnetv2_50d_gn",
    "resnetblur50d",
    "resnetaa50",
    "seresnet18",
    "skresnet18",
    "res2next50",
    "resnest50d_4s2x40d",
    "cbam_resnet50",
)
# timm has these gates, and no name for networks with them.
UNNAMED: dict[str, Any] = {"cbam_resnet18": BasicBlock, "cbam_resnet50": Bottleneck, "gc_resnet50": Bottleneck}
WHOLE = ("resnet14t", "resnet26d", "resnet26t", "resnet34d")
MOST_PARAMETERS = 200_000_000  # of a network whose gradients are compared at its whole depth
ELSEWHERE = (*test_parity.TORCHVISION, *test_parity.TIMM)
LARGE = tuple(name for name in NAMES if name not in (*KINDS, *WHOLE, *ELSEWHERE))


def with_values(network: nn.Module) -> nn.Module:
    """`network` with scales, shifts and running statistics that are nowhere trivial.

    Branches of bottlenecks are scaled down at their end. In a hundred blocks with gates, numbers would grow so far that
    float32 differs from float64 in the first digits, whoever computes it.
    """
    torch.manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith("bn3.weight"):
            value.uniform_(0.1, 0.3)
        elif value.ndim == 1 and not name.endswith(("fc.bias", "fc1.bias", "fc2.bias")):
            value.uniform_(0.5, 1.5) if name.endswith(("var", "weight")) else value.normal_(0, 0.1)
    return network


def theirs(name: str, depths: tuple[int, ...] | None, **choices: Any) -> nn.Module:
    torch.manual_seed(0)
    if name in UNNAMED:
        gate, layers = name.partition("_")[0], depths or CATALOG[name].depths
        return with_values(timm.models.ResNet(UNNAMED[name], layers, block_args={"attn_layer": gate}))
    if depths and name.endswith("_bit"):  # whose builders of timm take no depths
        factor = CATALOG[name].stem_width // 64
        return with_values(_create_resnetv2_bit(name, layers=depths, width_factor=factor, **choices))
    if depths:
        choices["layers"] = depths
    return with_values(timm.create_model(name, **choices))


@pytest.mark.parametrize("name", each(NAMES))
def test_every_weight_has_timms_key_and_shape(name: str) -> None:
    with torch.device("meta"):
        network, peer = build_network(CATALOG[name]), timm.create_model(name)
    expected = {key: value.shape for key, value in rename(peer.state_dict(), network).items()}
    assert {key: value.shape for key, value in network.state_dict().items()} == expected


def check_logits_and_gradients(name: str, depths: tuple[int, ...] | None, folder: Path, pixels: int = 64) -> None:
    peer = theirs(name, depths)
    torch.save(peer.state_dict(), folder / "theirs.pth")
    spec = replace(CATALOG[name], depths=depths or CATALOG[name].depths)
    # A file does not say which convolution of a bottleneck has the stride; other middles always have it.
    stride: Any = {"weights_stride": "3x3"} if spec.block == "bottleneck" and spec.middle is None else {}
    network = resnets.create(spec, weights=folder / "theirs.pth", **stride)

    x = torch.randn(2, 3, pixels, pixels)
    with torch.no_grad():
        expected = peer.eval()(x)
        exact = peer.double()(x.double())
        most = max(1e-5 * expected.abs().max(), (expected - exact).abs().max())  # or timm's own error, where it is more
        assert (network.eval()(x) - expected).abs().max() <= most
        assert (fold_norms(network)(x) - expected).abs().max() <= most

    x, labels = x.double(), torch.tensor([3, 500])
    if depths:  # many layers of gates amplify the rounding of folded weights
        with torch.no_grad():
            expected, folded = network.double()(x), fold_norms(network)(x)
        assert (folded - expected).abs().max() <= 1e-10 * expected.abs().max()
    logits = [net.double().train()(x) for net in (network, peer)]
    assert (logits[0] - logits[1]).abs().max() <= 1e-10 * logits[1].abs().max()
    for output in logits:
        F.cross_entropy(output, labels).backward()  # type: ignore[no-untyped-call]
    gradients = rename({key: p.grad for key, p in peer.named_parameters() if p.grad is not None}, network)
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None
        assert (parameter.grad - gradients[key]).abs().max() <= 1e-10 * gradients[key].abs().max() + 1e-15, key


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in REPEATED)) for name in (*KINDS, *UNNAMED)]
)
def test_logits_and_gradients_are_timms_at_small_depth(name: str, tmp_path: Path) -> None:
    check_logits_and_gradients(name, SHALLOW, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*KINDS, *UNNAMED, *WHOLE, *LARGE])
def test_logits_and_gradients_are_timms(name: str, tmp_path: Path) -> None:
    too_large = counts.parameters(CATALOG[name]) > MOST_PARAMETERS
    check_logits_and_gradients(name, SHALLOW if too_large else None, tmp_path)


@pytest.mark.parametrize(
    ("name", "pixels", "output_stride"),
    [
        ("resnetblur18", 75, 32),
        ("resnetblur50", 41, 16),
        ("resnetblur50", 41, 8),
        ("resnetaa50", 66, 32),  # whose stem drops the last row and column of 33
        ("resnetaa50", 66, 8),
        ("resnetrs50", 45, 32),
        ("resnetv2_50x1_bit", 51, 32),
    ],
)
def test_logits_are_timms_at_odd_sizes_and_with_dilation(name: str, pixels: int, output_stride: int) -> None:
    spec = replace(CATALOG[name], depths=SHALLOW, output_stride=output_stride)
    peer = theirs(name, SHALLOW, output_stride=output_stride).eval()
    network = resnets.create(spec).eval()
    network.load_state_dict(rename(peer.state_dict(), network))
    x = torch.randn(1, 3, pixels, pixels + 64)
    with torch.inference_mode():
        expected = peer(x)
        assert (network(x) - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", ["skresnet50", "res2net50_26w_4s", "resnest26d"])
def test_dilated_middles_are_timms(name: str) -> None:
    torch.manual_seed(0)
    peer = timm.create_model(name, layers=SHALLOW, output_stride=8, avg_down=False).eval()
    # timm's pooled shortcuts have a pool of stride 1 there.
    network = resnets.create(replace(CATALOG[name], depths=SHALLOW, output_stride=8, shortcut="B")).eval()
    network.load_state_dict(rename(peer.state_dict(), network))
    x = torch.randn(1, 3, 65, 65)
    with torch.inference_mode():
        expected = peer(x)
        assert (network(x) - expected).abs().max() <= 1e-5 * expected.abs().max()
