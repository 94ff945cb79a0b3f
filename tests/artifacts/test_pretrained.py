"""Pretrained weights: loaded exactly, or refused with the reason."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import resnets
from resnets.artifacts import model_file
from resnets.artifacts.model_file import ModelCard
from resnets.artifacts.weights_facts import facts_of
from resnets.core.errors import FileError, UsageError
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.models.catalog import find
from resnets.models.initialize import create as create_network
from resnets.models.spec import Spec
from resnets.nn.middles import SplitAttention
from tests.artifacts.conftest import ThirdParty

SMALL = Spec(depths=(1, 1), widths=(8, 16), classes=5)
V15 = Spec(block="bottleneck", depths=(1, 1), widths=(8, 16), stem_width=8, classes=5)
V1 = replace(V15, stride_in="1x1")
IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def same_weights(ours: nn.Module, theirs: Mapping[str, Tensor]) -> bool:
    state = ours.state_dict()
    return state.keys() == theirs.keys() and all(torch.equal(state[name], theirs[name]) for name in state)


def save_as_run(path: Path, spec: Spec, seed: int = 1) -> dict[str, Tensor]:
    state = create_network(spec, seed=seed).state_dict()
    names = tuple(f"class {i}" for i in range(spec.classes))
    model_file.save(path, state, ModelCard(spec=spec, classes=names, preprocessing=Preprocessing()))
    return state


@pytest.mark.slow
def test_a_third_partys_cifar_net_gets_its_known_number_right(third_party: ThirdParty) -> None:
    network, x, labels = third_party
    with torch.inference_mode():
        predicted = torch.cat([network(part).argmax(1) for part in torch.split(x, 500)])
    assert int((predicted == labels).sum()) == 3992


def compiled(network: nn.Module) -> nn.Module:
    return cast(nn.Module, torch.compile(network, backend="eager"))


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "data parallel": nn.DataParallel,
    "compiled": compiled,
    "both": lambda network: nn.DataParallel(compiled(network)),
    "moving average": AveragedModel,
    "lightning": lambda network: nn.ModuleDict({"model": network}),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("container", [None, "state_dict", "model", "model_state_dict", "net"])
def test_prefixes_of_wrappers_and_checkpoints_are_removed(wrapper: str, container: str | None, tmp_path: Path) -> None:
    network = create_network(SMALL, seed=1)
    state = WRAPPERS[wrapper](network).state_dict()
    assert state.keys() != network.state_dict().keys()
    torch.save({container: state, "epoch": 3, "best": 0.5} if container else state, tmp_path / "theirs.pth")
    ours = resnets.create(SMALL, weights=tmp_path / "theirs.pth", seed=2)
    assert same_weights(ours, network.state_dict())


def test_weights_and_their_moving_average_in_one_table_are_refused(tmp_path: Path) -> None:
    states = [create_network(SMALL, seed=s).state_dict() for s in (1, 2)]
    both = {f"{p}{k}": v for p, state in zip(("model.", "ema."), states, strict=True) for k, v in state.items()}
    torch.save({"state_dict": both}, tmp_path / "both.ckpt")
    with pytest.raises(FileError, match=r"have conv1.weight more than once"):
        resnets.create(SMALL, weights=tmp_path / "both.ckpt")


def test_plain_safetensors_load_with_the_networks_name(tmp_path: Path) -> None:
    theirs = torchvision.models.resnet18(weights=None, num_classes=5)
    safetensors.torch.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    ours = resnets.create("resnet18", classes=5, weights=tmp_path / "theirs.safetensors").eval()
    torch.testing.assert_close(ours(IMAGES), theirs.eval()(IMAGES))


def test_weights_from_before_batches_were_counted_load(tmp_path: Path) -> None:
    state = create_network(SMALL, seed=1).state_dict()
    old = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    assert same_weights(resnets.create(SMALL, weights=tmp_path / "old.pth"), state)


class _Code:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_with_code_is_refused_and_its_code_not_run(legacy: bool, tmp_path: Path) -> None:
    path, made = tmp_path / "trap.pth", tmp_path / "made"
    content = {**create_network(SMALL).state_dict(), "trap": _Code(made)}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(FileError, match=r"could not be read as weights.*safetensors") as caught:
        resnets.create(SMALL, weights=path)
    assert "\n" not in str(caught.value)
    assert not made.exists()
    torch.load(path, weights_only=False)  # the trap was armed
    assert made.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "could not be read as weights"),
        (b"no weights", "could not be read as weights"),
        (pickle.dumps({"conv1.weight": 3}, protocol=2), "could not be read as weights"),
        (None, "Cannot read .*: no such file or directory"),
        ({"epoch": 3}, "has no state_dict"),
        ([torch.zeros(1)], "has no state_dict"),
        ({"state_dict": {"conv1.weight": 3}}, "has no state_dict"),
        ({}, "conv1.weight is missing"),
        (create_network(replace(SMALL, depths=(2, 1), classes=1000)).state_dict(), "layer1.1.conv1.weight is unknown"),
    ],
    ids=["empty", "text", "bare pickle", "missing", "numbers", "list", "no tensors", "no entries", "another network"],
)
def test_weights_of_another_network_are_refused(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "theirs.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(FileError, match=message) as caught:
        resnets.create(SMALL, classes=1000, weights=path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"depths": (2, 2)},
        {"widths": (8, 32)},
        {"stem": "cifar"},
        {"shortcut": "D"},
        {"preactivation": True},
        {"block": "basic"},
        {"gate": "se"},
        {"norm": "group"},
        {"group_width": 32},
        {"stem_width": 16},
        {"activation": "gelu"},
        {"pool": "max"},
        {"stem_pool": "zero-padded max"},
        {"antialias": "blur"},
        {"standardized": True},
    ],
    ids=str,
)
def test_a_model_file_of_another_architecture_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_as_run(path, V15)
    with pytest.raises(FileError, match=str(path)):
        resnets.create(replace(V15, **changes), weights=path)


@pytest.mark.parametrize("container", ["pth", "model file"])
@pytest.mark.parametrize(("classes", "channels"), [(5, 3), (7, 3), (5, 1), (7, 1), (5, 4)], ids=lambda n: str(n))
def test_other_classes_and_channels_load_and_every_change_is_logged(
    container: str, classes: int, channels: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.safetensors"
    state = save_as_run(path, SMALL)
    if container == "pth":
        path = tmp_path / "model.pth"
        torch.save(state, path)
    ours = resnets.create(SMALL, classes=classes, channels=channels, weights=path, seed=9)
    theirs = resnets.create(SMALL, weights=path)

    logged = capsys.readouterr().err.splitlines()
    changed = {name for name, tensor in ours.state_dict().items() if not torch.equal(tensor, state[name])}
    assert changed == {line.split()[0] for line in logged}
    assert len(logged) == len(changed) == 2 * (classes != 5) + (channels != 3)

    grey = IMAGES[:, :1]
    last = "C3"
    with torch.no_grad():
        torch.testing.assert_close(
            ours.eval().features(grey.expand(-1, channels, -1, -1))[last],
            theirs.eval().features(grey.expand(-1, 3, -1, -1))[last],
        )
        assert ours(grey.expand(-1, channels, -1, -1)).shape == (2, classes)


class TestTorchvision:
    """torchvision's published weights, by way of torch's own cache of downloads."""

    NAME = "resnet18-f37072fd.pth"

    @pytest.fixture
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """An empty cache, on a machine that reaches nobody."""
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        folder = tmp_path / "hub" / "checkpoints"
        folder.mkdir(parents=True)
        return folder

    def test_without_a_network_the_error_says_what_to_fetch(self, cache: Path) -> None:
        with pytest.raises(FileError, match=rf"could not be downloaded.*Fetch http.*{self.NAME} elsewhere"):
            resnets.create("resnet18", weights="torchvision:")

    @pytest.mark.parametrize("tag", ["", "IMAGENET1K_V1"])
    def test_a_filled_cache_is_used_without_a_network(self, tag: str, cache: Path) -> None:
        theirs = torchvision.models.resnet18(weights=None)
        torch.save(theirs.state_dict(), cache / self.NAME)
        ours = resnets.create("resnet18", weights=f"torchvision:{tag}")
        assert same_weights(ours, theirs.state_dict())

    def test_code_in_the_cache_is_not_run(self, cache: Path, tmp_path: Path) -> None:
        torch.save({"trap": _Code(tmp_path / "made")}, cache / self.NAME)
        with pytest.raises(FileError):
            resnets.create("resnet18", weights="torchvision:")
        assert not (tmp_path / "made").exists()

    def test_pretrained_weights_with_other_classes_and_channels(
        self, cache: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        theirs = torchvision.models.resnet18(weights=None).eval()
        torch.save(theirs.state_dict(), cache / self.NAME)
        ours = resnets.create("resnet18", classes=3, channels=1, weights="torchvision:").eval()
        assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == [
            "fc.weight", "fc.bias", "conv1.weight",
        ]  # fmt: skip
        with torch.no_grad():
            features = nn.Sequential(*list(theirs.children())[:-2])(IMAGES[:, :1].expand(-1, 3, -1, -1))
            torch.testing.assert_close(ours.features(IMAGES[:, :1])["C5"], features, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(
        ("name", "weights", "message"),
        [
            ("cifar_resnet20", "torchvision:", "torchvision has no weights for cifar_resnet20"),
            ("resnet50_v1", "torchvision:", "torchvision has no weights for resnet50_v1"),
            ("resnet18", "torchvision:IMAGENET1K_V2", "No torchvision weights of resnet18 is called.*IMAGENET1K_V1"),
        ],
    )
    def test_weights_that_torchvision_lacks_are_wrong_use(
        self, name: str, weights: str, message: str, cache: Path
    ) -> None:
        with pytest.raises(UsageError, match=message):
            resnets.create(name, weights=weights)


def test_a_file_of_another_middle_is_refused_where_the_weights_are_the_same(tmp_path: Path) -> None:
    last = replace(V15, widths=(32, 32), middle=SplitAttention(radix=1))
    save_as_run(tmp_path / "theirs.safetensors", last)
    resnets.create(last, weights=tmp_path / "theirs.safetensors")
    with pytest.raises(FileError, match="holds a network with middle SplitAttention"):
        resnets.create(
            replace(last, middle=SplitAttention(radix=1, pool_first=True)), weights=tmp_path / "theirs.safetensors"
        )


def test_a_torchvision_detector_of_other_classes_is_a_start(tmp_path: Path) -> None:
    """Of a user's own classes, and without masks for a network that has some."""
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    theirs = FasterRCNN(resnet_fpn_backbone(backbone_name="resnet18", weights=None), num_classes=4)
    torch.save(theirs.state_dict(), tmp_path / "cells.pth")
    for name, classes in (("fasterrcnn_resnet18_fpn", 3), ("fasterrcnn_resnet18_fpn", 7), ("maskrcnn_resnet18_fpn", 2)):
        spec = replace(find(name), classes=classes)
        facts = facts_of(tmp_path / "cells.pth", recipe_model=spec)
        assert facts.spec == spec
        ours = resnets.create(spec, weights=tmp_path / "cells.pth").state_dict()
        assert torch.equal(
            ours["backbone.body.layer4.1.conv2.weight"], theirs.state_dict()["backbone.body.layer4.1.conv2.weight"]
        )
        assert torch.equal(
            ours["backbone.fpn.layer_blocks.0.0.weight"], theirs.state_dict()["backbone.fpn.layer_blocks.0.0.weight"]
        )
