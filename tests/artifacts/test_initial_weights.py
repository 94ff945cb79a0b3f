"""The weights that training starts from: of the same network, of a classifier for a backbone, and of other heads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn

import resnets
from resnets.artifacts import model_file
from resnets.artifacts.model_file import ModelCard
from resnets.artifacts.pretrained import load_weights, set_initial_weights
from resnets.core.errors import FileError, UsageError
from resnets.core.files import sha256_of
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.models.catalog import find
from resnets.models.initialize import create
from resnets.models.spec import Spec
from resnets.tasks.segmentation.network import SegmentationNet
from resnets.tasks.segmentation.settings import Segment

SMALL = Spec(depths=(2, 1), widths=(8, 16), stem_width=8, classes=5)
DEEP = replace(SMALL, block="bottleneck")
SEGMENTATION = replace(find("fcn_resnet18"), depths=(2, 1), widths=(8, 16), stem_width=8, classes=5)


def fcn(seed: int = 2, spec: Spec = SEGMENTATION, **fields: Any) -> SegmentationNet:
    network = resnets.create(spec, seed=seed, **fields)
    assert isinstance(network, SegmentationNet)
    return network


def saved(path: Path, state: Mapping[str, Tensor]) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(dict(state), path)
    else:
        torch.save({"state_dict": dict(state)}, path)
    return path


def loaded_from(network: nn.Module, source: Mapping[str, Tensor], prefix: str = "") -> bool:
    """Whether every weight of the backbone is that of `source`, under keys that begin with `prefix`."""
    own = network.state_dict()
    names = [name for name in own if name.startswith("backbone.")]
    return bool(names) and all(torch.equal(own[n], source[prefix + n.removeprefix("backbone.")]) for n in names)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_classifiers_layers_go_into_the_backbone_and_its_head_is_left_out(suffix: str, tmp_path: Path) -> None:
    source = create(SMALL, seed=1).state_dict()
    path = saved(tmp_path / f"classifier{suffix}", source)
    network = fcn(auxiliary=True)
    heads = {name: value.clone() for name, value in network.state_dict().items() if "classifier" in name}
    found = set_initial_weights(network, path)
    assert loaded_from(network, source)
    assert all(torch.equal(network.state_dict()[name], value) for name, value in heads.items())
    assert found.notes == (
        "fc was left out: this network has no such head.",
        "classifier starts new: the weights have no such head.",
        "aux_classifier starts new: the weights have no such head.",
    )
    assert found.sha256 == sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("as_folder", [False, True])
def test_a_model_file_and_a_run_folder_of_a_classifier(as_folder: bool, tmp_path: Path) -> None:
    source, path = create(SMALL, seed=1).state_dict(), tmp_path / model_file.MODEL_NAME
    card = ModelCard(spec=SMALL, classes=tuple("abcde"), preprocessing=Preprocessing())
    model_file.save(path, source, card)
    network = fcn()
    found = set_initial_weights(network, tmp_path if as_folder else path)
    assert loaded_from(network, source)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(FileError, match=rf"{tmp_path}.* holds a network with widths \(8, 16\), not \(8, 32\)"):
        set_initial_weights(fcn(widths=(8, 32)), path)


@pytest.mark.parametrize("weights", ["torchvision:IMAGENET1K_V1", "timm:a1_in1k"])
def test_weights_of_a_library_are_refused_where_the_network_has_no_name(weights: str) -> None:
    library, _, tag = weights.partition(":")
    message = f"{weights} is the name of weights for several networks: say which, such as {library}:resnet50.{tag}"
    with pytest.raises(UsageError, match=message):
        set_initial_weights(fcn(), weights)
    with pytest.raises(UsageError, match=message):
        load_weights(fcn(), weights)


def test_a_whole_network_loads_with_its_heads(tmp_path: Path) -> None:
    source = fcn(seed=1, auxiliary=True)
    path = saved(tmp_path / "fcn.pth", source.state_dict())
    network = fcn(auxiliary=True)
    assert set_initial_weights(network, path).notes == ()
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in network.state_dict().items())


def test_other_classes_channels_and_heads_are_each_said(tmp_path: Path) -> None:
    source = fcn(seed=1, auxiliary=True)
    path = saved(tmp_path / "fcn.pth", source.state_dict())
    network = fcn(classes=7, channels=1)
    output = network.get_parameter("classifier.4.weight").detach().clone()
    assert [note.split(":")[0] for note in set_initial_weights(network, path).notes] == [
        "aux_classifier was left out",
        "classifier.4.weight (5, 4, 1, 1) was skipped",
        "classifier.4.bias (5,) was skipped",
        "backbone.conv1.weight was changed from 3 to 1 input channels.",
    ]
    assert torch.equal(network.get_parameter("classifier.4.weight"), output)
    assert torch.equal(network.get_parameter("classifier.0.weight"), source.get_parameter("classifier.0.weight"))
    grey = torch.randn(2, 1, 17, 24)
    with torch.inference_mode():
        torch.testing.assert_close(
            network.eval().features(grey)["C3"], source.eval().features(grey.expand(-1, 3, -1, -1))["C3"]
        )


def test_another_head_of_the_same_name_is_left_out(tmp_path: Path) -> None:
    state = fcn(seed=1).state_dict()
    deeplab = {
        "classifier.0.convs.0.0.weight": torch.zeros(4, 16, 1, 1),
        "classifier.4.weight": torch.zeros(5, 4, 1, 1),
    }
    others = {name: value for name, value in state.items() if name.startswith("backbone.")} | deeplab
    others |= {"decode_head.conv_seg.weight": torch.zeros(5, 4, 1, 1)}
    network = fcn()
    assert set_initial_weights(network, saved(tmp_path / "deeplab.pth", others)).notes == (
        "classifier was left out and starts new: the weights have another head there.",
        "decode_head was left out: this network has no such head.",
    )
    assert loaded_from(network, state, "backbone.")


def test_weights_of_batch_norm_go_into_frozen_norms_and_back(tmp_path: Path) -> None:
    source = create(SMALL, seed=1).state_dict()
    network = fcn(norm="frozen")
    set_initial_weights(network, saved(tmp_path / "classifier.pth", source))
    assert loaded_from(network, source)
    frozen = create(replace(SMALL, norm="frozen"), seed=3)
    assert set_initial_weights(frozen, tmp_path / "classifier.pth").notes == ()
    again = create(SMALL, seed=4)
    assert set_initial_weights(again, saved(tmp_path / "frozen.pth", frozen.state_dict())).notes == ()
    assert all(torch.equal(value, source[name]) for name, value in again.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer1.1.conv1.weight"), "backbone.layer1.1.conv1.weight is missing"),
        (lambda s: s.update({"layer1.7.conv1.weight": torch.zeros(1)}), "layer1.7.conv1.weight is unknown"),
        (lambda s: s.update({"bn1.weight": torch.zeros(9)}), r"backbone.bn1.weight has shape \(9,\), not \(8,\)"),
        (lambda s: s["conv1.weight"].fill_(torch.nan), "NaN"),
        (lambda s: s.update({"backbone.body.conv1.weight": torch.zeros(1), "rpn.x": torch.zeros(1)}), "for detection"),
    ],
)
def test_anything_else_that_differs_is_refused_with_the_files_name(change: Any, message: str, tmp_path: Path) -> None:
    state = create(SMALL, seed=1).state_dict()
    change(state)
    path = saved(tmp_path / "theirs.pth", state)
    with pytest.raises(FileError, match=message) as caught:
        set_initial_weights(fcn(), path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"Cannot read .*none.pth: no such file"):
        set_initial_weights(fcn(), tmp_path / "none.pth")


def test_bottlenecks_of_unknown_stride_are_said_and_of_another_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "theirs.pth", create(DEEP, seed=1).state_dict())
    network = create(DEEP, seed=2)
    (note,) = set_initial_weights(network, path).notes
    assert note.startswith(f"{path} does not say which convolution")
    assert "3x3" in note
    with pytest.raises(UsageError, match="weights_stride"):
        resnets.create(DEEP, weights=path)
    card = ModelCard(spec=DEEP, classes=tuple("abcde"), preprocessing=Preprocessing())
    model_file.save(tmp_path / model_file.MODEL_NAME, network.state_dict(), card)
    with pytest.raises(UsageError, match=r"holds v1.5 weights"):
        set_initial_weights(create(replace(DEEP, stride_in="1x1")), tmp_path)


def test_a_file_of_torchvisions_network_for_segmentation_loads_by_create(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None, aux_loss=True).eval()
    path = saved(tmp_path / "fcn.pth", theirs.state_dict())
    ours = resnets.create("fcn_resnet50", weights=path).eval()
    x = torch.randn(1, 3, 24, 33)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x)["out"])


def test_published_weights_of_a_classifier_start_a_network_for_segmentation(shared: Path) -> None:
    path = shared / "weights" / "imagenet_resnet18.safetensors"
    if not path.exists():
        pytest.skip("needs the development data")
    network = fcn(spec=find("fcn_resnet18"), classes=12, norm="frozen")
    found = set_initial_weights(network, path)
    assert [note.split()[0] for note in found.notes] == ["fc", "classifier"]
    theirs = torchvision.models.resnet18(weights=None).eval()
    theirs.load_state_dict(safetensors.torch.load_file(path), strict=True)
    x = torch.randn(1, 3, 64, 48)
    with torch.inference_mode():
        first = nn.Sequential(*list(theirs.children())[:6])(x)
        torch.testing.assert_close(network.features(x)["C3"], first, rtol=1e-4, atol=1e-4)


def test_a_head_for_pixels_keeps_the_rows_of_classes_that_a_model_file_knows(tmp_path: Path) -> None:
    source = fcn(seed=1, auxiliary=True)
    names = ("sky", "tree", "road", "car", "person")
    card = ModelCard(spec=source.spec, classes=names, preprocessing=Preprocessing(), settings=Segment())
    model_file.save(tmp_path / "theirs.safetensors", source.state_dict(), card)
    network = fcn(auxiliary=True)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = set_initial_weights(network, tmp_path / "theirs.safetensors", classes=("Car", "sky", "x", "y", "z"))
    for layer in ("classifier.4", "aux_classifier.4"):
        for name in (f"{layer}.weight", f"{layer}.bias"):
            ours, theirs = network.state_dict()[name], source.state_dict()[name]
            assert torch.equal(ours[:2], theirs[[3, 0]])
            assert torch.equal(ours[2:], before[name][2:])
    assert found.notes[-1] == "classifier.4 keeps the rows of 2 of 5 classes, which the weights know: Car, sky; " + (
        "the others start new."
    )
    set_initial_weights(network, tmp_path / "theirs.safetensors", classes=tuple("abcde"))
    assert torch.equal(network.get_parameter("classifier.0.weight"), source.get_parameter("classifier.0.weight"))
    assert not torch.equal(network.get_parameter("classifier.4.weight"), source.get_parameter("classifier.4.weight"))
    assert set_initial_weights(network, tmp_path / "theirs.safetensors", classes=names).notes == ()


def test_rows_are_not_taken_from_a_head_that_is_another(tmp_path: Path) -> None:
    source = fcn(seed=1)
    card = ModelCard(spec=source.spec, classes=tuple("abcde"), preprocessing=Preprocessing(), settings=Segment())
    state = {name: value for name, value in source.state_dict().items() if not name.startswith("classifier.1.")}
    safetensors.torch.save_file(state, tmp_path / "other.safetensors")  # of the same last layer
    model_file.save(tmp_path / "theirs.safetensors", source.state_dict(), card)
    network = fcn(auxiliary=True)
    auxiliary = network.get_parameter("aux_classifier.4.weight").detach().clone()
    notes = set_initial_weights(network, tmp_path / "theirs.safetensors", classes=tuple("edcba")).notes
    assert notes[0] == "aux_classifier starts new: the weights have no such head."
    assert not [note for note in notes if note.startswith("aux_classifier.4")]
    assert torch.equal(network.get_parameter("aux_classifier.4.weight"), auxiliary)
    new = fcn(seed=3)
    (note,) = set_initial_weights(new, tmp_path / "other.safetensors", classes=tuple("edcba")).notes
    assert note == "classifier was left out and starts new: the weights have another head there."
    assert torch.equal(new.get_parameter("classifier.4.weight"), fcn(seed=3).get_parameter("classifier.4.weight"))


def test_torchvisions_networks_for_pixels_know_the_classes_of_voc(tmp_path: Path) -> None:
    theirs = torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None, aux_loss=True)
    categories = torchvision.models.segmentation.FCN_ResNet50_Weights.DEFAULT.meta["categories"]
    path = saved(tmp_path / "fcn.pth", theirs.state_dict())
    network = resnets.create(replace(find("fcn_resnet50"), classes=3), seed=0)
    notes = set_initial_weights(network, path, classes=("background", "dog", "kangaroo")).notes
    rows = [categories.index(name) for name in ("__background__", "dog")]
    assert torch.equal(network.get_parameter("classifier.4.weight")[:2], theirs.classifier[4].weight[rows])
    assert (
        "classifier.4 keeps the rows of 2 of 3 classes, which the weights know: background, dog; the others"
        in notes[-1]
    )
    whole = resnets.create(replace(find("fcn_resnet50"), classes=21), seed=0)
    set_initial_weights(whole, path, classes=tuple(map(str, range(21))))
    assert torch.equal(whole.get_parameter("classifier.4.weight"), theirs.classifier[4].weight)
