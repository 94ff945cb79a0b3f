"""What weights say of themselves: network, preprocessing and classes; and where those of a library are looked for."""

from __future__ import annotations

import json
import re
import socket
import urllib.error
import urllib.request
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
import torchvision

import resnets
from resnets.artifacts import model_file
from resnets.artifacts.model_file import ModelCard
from resnets.artifacts.weights_facts import at_hand, facts_of, name_of
from resnets.core.errors import FileError, UsageError
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.models.catalog import CATALOG, find
from resnets.models.imagenet_classes import wordnet_ids
from resnets.models.initialize import create
from resnets.models.spec import Spec

SMALL = Spec(depths=(1, 1), widths=(8, 16), stem_width=8, classes=5)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of this library, of torch and of Hugging Face, on a machine without a network."""

    def refused(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "huggingface" / "hub"))
    return tmp_path / "cache"


def saved(path: Path, state: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return path


def test_a_model_file_says_all_of_it(tmp_path: Path) -> None:
    card = ModelCard(spec=SMALL, classes=tuple("abcde"), preprocessing=Preprocessing(resize=40, crop=32))
    model_file.save(tmp_path / "model.safetensors", create(SMALL).state_dict(), card)
    for given in (tmp_path, tmp_path / "model.safetensors"):
        found = facts_of(given)
        assert (found.spec, found.preprocessing, found.classes, found.notes) == (
            SMALL, card.preprocessing, tuple("abcde"), ()
        )  # fmt: skip
        assert found.name is None
    dropping = replace(SMALL, drop_path=0.2, classes=7)
    assert facts_of(tmp_path, recipe_model=dropping).spec == dropping
    assert facts_of(tmp_path, recipe_model=replace(SMALL, widths=(8, 32))).spec == SMALL
    assert facts_of(tmp_path, find("resnet18")).spec == find("resnet18")


@pytest.mark.parametrize("name", ["resnet34", "resnext50_32x4d"])
def test_torchvisions_keys_name_the_network(name: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        state = torchvision.models.get_model(name, weights=None, num_classes=1000).state_dict()
    found = facts_of(saved(tmp_path / "theirs.pth", {k: torch.zeros(v.shape) for k, v in state.items()}))
    assert found.name == name
    assert found.spec == CATALOG[name]
    assert found.classes == wordnet_ids()
    assert found.preprocessing == Preprocessing(resize=256, crop=224)
    assert any("does not say how images are read" in note and "256, centre 224" in note for note in found.notes)


def test_stride_is_torchvisions_where_the_file_does_not_say_it(tmp_path: Path) -> None:
    state = resnets.create("resnet50_v1", classes=3, channels=4).state_dict()
    path = saved(tmp_path / "theirs.safetensors", state)
    found = facts_of(path)
    assert (found.name, found.spec.stride_in, found.spec.classes, found.spec.channels) == ("resnet50", "3x3", 3, 4)
    assert any("the shapes of resnet50" in note and "resnet50_v1" in note for note in found.notes)
    assert facts_of(path, find("resnet50_v1")).spec.stride_in == "1x1"
    assert facts_of(path, recipe_model=find("resnet50_v1")).spec == find("resnet50_v1")
    assert found.classes == ()


@pytest.mark.parametrize("name", ["resnetv2_18", "seresnet18", "resnet18d", "skresnet18"])
def test_timms_keys_name_the_network(name: str, tmp_path: Path) -> None:
    state = timm.create_model(name, num_classes=4, in_chans=2).state_dict()
    found = facts_of(saved(tmp_path / "theirs.safetensors", state))
    assert (found.name, found.spec.classes, found.spec.channels) == (name, 4, 2)


@pytest.mark.parametrize("prefix", ["module.", "encoder_q.backbone."])
def test_a_prefix_is_no_obstacle(prefix: str, tmp_path: Path) -> None:
    state = {
        f"{prefix}{key}": value for key, value in resnets.create("cifar_resnet20", classes=10).state_dict().items()
    }
    found = facts_of(saved(tmp_path / "theirs.pth", state | {"projector.weight": torch.zeros(3, 3)}))
    assert found.name == "cifar_resnet20"
    assert found.preprocessing == Preprocessing(resize=32, crop=32)
    assert any("cifar_plain20" in note for note in found.notes)


def test_an_unknown_network_needs_a_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "theirs.pth", create(SMALL).state_dict())
    with pytest.raises(FileError, match=r"no network of the catalog .* name theirs with --model"):
        facts_of(path)
    assert facts_of(path, recipe_model=replace(SMALL, classes=3)).spec == replace(SMALL, classes=3)
    with pytest.raises(FileError, match="no network of the catalog"):
        facts_of(path, recipe_model=replace(SMALL, depths=(1, 2)))


def test_every_network_has_its_name() -> None:
    for name in ("resnet50", "resnet50_v1", "seresnext50_32x4d", "plain18", "wrn28_10"):
        assert name_of(replace(CATALOG[name], classes=3, channels=1, drop_path=0.0, norm_momentum=0.2)) == name


def test_the_first_file_in_the_folder_that_is_of_a_network_is_at_hand(cache: Path) -> None:
    model = CATALOG["cifar_resnet20"]
    assert at_hand(None, model) is None
    (cache / "weights").mkdir(parents=True)
    (cache / "weights" / "a.txt").write_text("")
    assert at_hand(None, model) is None
    (cache / "weights" / "b.safetensors").write_bytes(b"")
    assert at_hand(None, model) is None
    for name in ("d", "c"):
        torch.save(resnets.create("cifar_resnet20").state_dict(), cache / "weights" / f"{name}.pth")
    found = at_hand(None, model)
    assert found is not None
    assert found.source == str(cache / "weights" / "c.pth")


@pytest.mark.parametrize("folder", ["cache/weights", "torch/hub/checkpoints"])
@pytest.mark.parametrize("weights", ["torchvision:resnet18", "torchvision:resnet18.IMAGENET1K_V1",
                                     "torchvision:ResNet18_Weights.IMAGENET1K_V1"])  # fmt: skip
def test_torchvisions_weights_are_found_without_a_network(weights: str, folder: str, tmp_path: Path) -> None:
    state = torchvision.models.resnet18(weights=None).state_dict()
    saved(tmp_path / folder / "resnet18-f37072fd.pth", state)
    found = facts_of(weights, find("resnet18") if "_Weights" in weights else None)
    assert found.name == "resnet18"
    assert found.source in ("torchvision:resnet18", "torchvision:resnet18.IMAGENET1K_V1")
    (note,) = found.notes
    assert "as torchvision reads them" in note
    assert torch.equal(resnets.create("resnet18", weights=found.source).state_dict()["fc.weight"], state["fc.weight"])


@pytest.mark.parametrize(
    "place",
    [
        "cache/weights/resnet10t.c3_in1k.safetensors",
        "cache/weights/timm/resnet10t.c3_in1k/model.safetensors",
        "huggingface/hub/models--timm--resnet10t.c3_in1k/snapshots/abc/model.safetensors",
        "torch/hub/checkpoints/resnet10t_176_c3-f3215ab1.pth",
    ],
)
@pytest.mark.parametrize("weights", ["timm:resnet10t.c3_in1k", "hf:timm/resnet10t.c3_in1k"])
def test_timms_weights_are_found_without_a_network(weights: str, place: str, tmp_path: Path) -> None:
    if weights.startswith("hf") and "torch/hub" in place:
        pytest.skip("torch's cache has no names of the Hub")
    saved(tmp_path / place, timm.create_model("resnet10t").state_dict())
    found = facts_of(weights)
    assert (found.name, found.source) == ("resnet10t", weights)
    theirs: Any = timm.get_pretrained_cfg("resnet10t.c3_in1k")
    assert found.preprocessing == Preprocessing(
        resize=int(theirs.input_size[-1] / theirs.crop_pct), crop=theirs.input_size[-1],
        interpolation=theirs.interpolation, mean=theirs.mean, std=theirs.std,
    )  # fmt: skip
    assert theirs.input_size[-1] == 176
    assert "are read as timm says: RGB" in found.notes[-1]


def test_settings_beside_a_file_of_the_hub_say_how_images_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "huggingface" / "hub" / "models--someone--net" / "snapshots" / "abc"
    saved(folder / "model.safetensors", resnets.create("resnet18", classes=7).state_dict())
    config = {"mean": [0.5] * 3, "std": [0.25] * 3, "input_size": [3, 160, 160], "crop_pct": 0.9,
              "interpolation": "bilinear"}  # fmt: skip
    (folder / "config.json").write_text(json.dumps({"architecture": "resnet18", "pretrained_cfg": config}))
    found = facts_of("hf:someone/net")
    assert found.preprocessing == Preprocessing(resize=177, crop=160, mean=(0.5,) * 3, std=(0.25,) * 3)
    assert "config.json beside it" in found.notes[-1]
    (folder / "config.json").write_text(json.dumps({"model_type": "resnet"}))
    of_transformers = {"image_mean": [0.4] * 3, "image_std": [0.2] * 3, "size": {"shortest_edge": 224},
                       "crop_pct": 0.875, "resample": 3}  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(of_transformers))
    found = facts_of("hf:someone/net")
    assert found.preprocessing == Preprocessing(
        resize=256, crop=224, interpolation="bicubic", mean=(0.4,) * 3, std=(0.2,) * 3
    )


@pytest.mark.parametrize(
    ("weights", "url", "place"),
    [
        ("torchvision:resnet18", "resnet18-f37072fd.pth", "resnet18-f37072fd.pth"),
        ("timm:resnet18.a1_in1k", "timm/resnet18.a1_in1k/resolve/main/model.safetensors",
         "timm/resnet18.a1_in1k/model.safetensors"),
        ("hf:microsoft/resnet-18", "microsoft/resnet-18/resolve/main/model.safetensors",
         "microsoft/resnet-18/model.safetensors"),
    ],
)  # fmt: skip
def test_absent_weights_are_answered_with_the_file_and_its_place(
    weights: str, url: str, place: str, cache: Path
) -> None:
    with pytest.raises(FileError) as caught:
        facts_of(weights)
    message = str(caught.value)
    assert re.search(rf"not here and could not be downloaded .* Fetch https://\S+{re.escape(url)} elsewhere", message)
    assert message.endswith(f"put it here as {cache / 'weights' / place}")
    if weights.startswith("timm"):  # and there it is found
        saved(cache / "weights" / place, resnets.create("resnet18").state_dict())
        assert facts_of(weights).name == "resnet18"


@pytest.mark.parametrize("weights", ["hf:resnet18", "hf:a/b/c", "hf:../x", "hf:"])
def test_a_repository_has_an_owner_and_a_name(weights: str) -> None:
    with pytest.raises(UsageError, match="give hf:OWNER/NAME"):
        facts_of(weights)


def test_a_file_by_its_name_is_found_in_the_folder_for_weights(cache: Path) -> None:
    saved(cache / "weights" / "mine.pth", resnets.create("resnet18", classes=7).state_dict())
    assert facts_of("mine.pth").name == "resnet18"


def test_the_name_of_a_network_is_no_file() -> None:
    with pytest.raises(UsageError, match=r"resnet18 is the name of a network.* torchvision:resnet18"):
        facts_of("resnet18")


def test_weights_of_the_hub_are_downloaded_to_where_they_are_looked_for(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = tmp_path / "server" / "someone" / "net" / "resolve" / "main"
    saved(hub / "pytorch_model.bin", resnets.create("resnet18", classes=7).state_dict())
    config = {"mean": [0.5] * 3, "std": [0.25] * 3, "input_size": [3, 160, 160], "crop_pct": 1.0}
    (hub / "config.json").write_text(json.dumps({"pretrained_cfg": config}))
    asked = []

    def opened(address: str, timeout: float) -> Any:
        asked.append(address.rpartition("/")[2])
        path = tmp_path / "server" / address.removeprefix("http://hub.test/")
        if not path.exists():
            raise urllib.error.HTTPError(address, 404, "Not Found", Message(), None)
        return path.open("rb")

    monkeypatch.setenv("HF_ENDPOINT", "http://hub.test")
    monkeypatch.setattr(urllib.request, "urlopen", opened)
    found = facts_of("hf:someone/net")
    assert (found.name, found.preprocessing.shape()) == ("resnet18", (160, 160))
    assert asked == ["model.safetensors", "pytorch_model.bin", "config.json", "preprocessor_config.json"]
    assert sorted(path.name for path in (cache / "weights" / "someone" / "net").iterdir()) == [
        "config.json", "pytorch_model.bin",
    ]  # fmt: skip
    assert facts_of("hf:someone/net") == found
    assert len(asked) == 4
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FileError, match="HF_HUB_OFFLINE is set"):
        facts_of("hf:someone/other")
    assert len(asked) == 4
