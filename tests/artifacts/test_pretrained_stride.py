"""Pretrained bottlenecks, whose weights have the same shapes wherever the stride is: v1 and v1.5 are never confused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision

import resnets
from resnets.core.errors import UsageError
from resnets.models.spec import Spec
from resnets.nn.shapes import StrideIn
from tests.artifacts.test_pretrained import IMAGES, V1, V15, same_weights, save_as_run


@pytest.fixture(scope="module")
def bottlenecks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `.pth` of torchvision's bottlenecks: which convolution strides cannot be seen from it."""
    path = tmp_path_factory.mktemp("torchvision") / "resnet14.pth"
    torch.manual_seed(0)
    torch.save(theirs_of_four_stages().state_dict(), path)
    return path


def theirs_of_four_stages() -> torchvision.models.ResNet:
    return torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], num_classes=5)


FOUR_STAGES = Spec(block="bottleneck", depths=(1, 1, 1, 1), classes=5)


def test_bottlenecks_of_unknown_stride_are_asked_for(bottlenecks: Path) -> None:
    with pytest.raises(UsageError, match=r"does not say which convolution.*weights_stride='3x3'.*or '1x1'"):
        resnets.create(FOUR_STAGES, weights=bottlenecks)


@pytest.mark.parametrize("stride", ["1x1", "3x3"])
def test_bottlenecks_of_a_stated_stride_compute_as_their_author_meant(stride: StrideIn, bottlenecks: Path) -> None:
    theirs = theirs_of_four_stages().eval()
    theirs.load_state_dict(torch.load(bottlenecks, weights_only=True))
    if stride == "1x1":
        for stage in (theirs.layer2, theirs.layer3, theirs.layer4):
            stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    ours = resnets.create(replace(FOUR_STAGES, stride_in=stride), weights=bottlenecks, weights_stride=stride).eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(IMAGES), theirs(IMAGES))


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [("3x3", "1x1", "holds v1 weights.*Create the v1 network"), ("1x1", "3x3", "holds v1.5 weights.*v1.5 network")],
)
def test_bottlenecks_that_stride_elsewhere_are_refused(
    ours: StrideIn, theirs: StrideIn, message: str, bottlenecks: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        resnets.create(replace(FOUR_STAGES, stride_in=ours), weights=bottlenecks, weights_stride=theirs)


def test_resnet50_and_resnet50_v1_take_only_weights_of_their_own_version(tmp_path: Path) -> None:
    path = tmp_path / "resnet50.pth"
    torch.save(torchvision.models.resnet50(weights=None).state_dict(), path)
    with pytest.raises(UsageError, match="weights_stride"):
        resnets.create("resnet50", weights=path)
    with pytest.raises(UsageError, match="v1 weights"):
        resnets.create("resnet50", weights=path, weights_stride="1x1")
    resnets.create("resnet50", weights=path, weights_stride="3x3")
    resnets.create("resnet50_v1", weights=path, weights_stride="1x1")


@pytest.mark.parametrize("as_folder", [False, True])
def test_our_own_model_file_says_its_stride_and_is_held_to_it(as_folder: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    state = save_as_run(path, V1)
    weights = tmp_path if as_folder else path
    assert same_weights(resnets.create(V1, weights=weights), state)
    with pytest.raises(UsageError, match=r"holds v1 weights"):
        resnets.create(V15, weights=weights)
    with pytest.raises(UsageError, match=r"says that its bottlenecks stride in the 1x1"):
        resnets.create(V15, weights=weights, weights_stride="3x3")
