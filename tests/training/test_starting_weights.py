"""`resnets train --weights`: the same from every form of the same values, for other classes, resumed and replayed."""

from __future__ import annotations

import json
import os
import pickle
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from PIL import Image
from torch import Tensor

import resnets
from resnets.artifacts import model_file
from resnets.artifacts.model_file import ModelCard
from resnets.core.config import encode
from resnets.modalities.image.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from resnets.models.catalog import find
from resnets.models.imagenet_classes import wordnet_ids
from resnets.models.spec import Spec
from tests.command_line import call
from tests.training.runs import sha_of

SPEC = Spec(depths=(1, 1), widths=(8, 16), stem_width=8, classes=5)
NAMES = ("n01440764", "goldfish", "great_white_shark", "x", "y", "z", "q")
STEPS = ["steps=20", "epochs=none", "warmup=none", "batch=8", "evaluate_every=1000", "preprocessing.resize=16",
         "preprocessing.crop=16", "precision=fp32", "optimizer.lr=0.05"]  # fmt: skip


def folder_of(root: Path, classes: tuple[str, ...], count: int = 4) -> Path:
    """Images of noise, each class of its own brightness."""
    g = np.random.default_rng(0)
    for split in ("train", "val"):
        for label, name in enumerate(classes):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = g.integers(0, 255, (20, 22, 3), dtype=np.uint8) // (label + 1)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("seven"), NAMES)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError("no sockets in this test")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refused)


def randomized(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """`state` with values that are nowhere trivial, from which a network learns."""
    g = torch.Generator().manual_seed(0)
    return {
        name: value if not value.is_floating_point() else value + torch.rand(value.shape, generator=g) * 0.05
        for name, value in state.items()
    }


def own_file(path: Path, spec: Spec, state: dict[str, Tensor], classes: tuple[str, ...]) -> Path:
    model_file.save(path, state, ModelCard(spec=spec, classes=classes, preprocessing=Preprocessing()))
    return path


def run(data: Path, out: Path, weights: Path | str, *more: object) -> Path:
    done = call("train", "paper/cifar", "--data", data, "--weights", weights, "--out", out, *STEPS, *more)
    assert done.code == 0, done.err
    return out


def test_every_form_of_the_same_values_trains_to_the_same_weights(data: Path, tmp_path: Path) -> None:
    state = randomized(resnets.create(SPEC).state_dict())
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "theirs.pth")
    safetensors.torch.save_file(state, tmp_path / "theirs.safetensors")
    own_file(tmp_path / "ours.safetensors", SPEC, state, tuple("abcde"))
    model = tmp_path / "spec.json"
    model.write_text(json.dumps(encode(SPEC)))
    found = {
        sha_of(run(data, tmp_path / f"run{number}", tmp_path / name, "--model", model))
        for number, name in enumerate(("theirs.pth", "theirs.safetensors", "ours.safetensors"))
    }
    found.add(sha_of(run(data, tmp_path / "unnamed", tmp_path / "ours.safetensors")))
    assert len(found) == 1
    found.add(sha_of(run(data, tmp_path / "new", tmp_path / "ours.safetensors", "--seed", 1)))
    assert len(found) == 2


def test_timms_names_train_to_the_same_weights_as_ours(data: Path, tmp_path: Path) -> None:
    spec = replace(find("resnetv2_18"), depths=(1, 1), widths=(8, 16), stem_width=8, classes=5)
    theirs = timm.create_model("resnetv2_18", layers=(1, 1), channels=(8, 16), stem_chs=8, num_classes=5)
    safetensors.torch.save_file(randomized(theirs.state_dict()), tmp_path / "theirs.safetensors")
    own = resnets.create(spec, weights=tmp_path / "theirs.safetensors").state_dict()
    assert "stages.0.blocks.0.conv1.weight" not in own
    own_file(tmp_path / "ours.safetensors", spec, own, tuple("abcde"))
    (tmp_path / "spec.json").write_text(json.dumps(encode(spec)))
    first = run(data, tmp_path / "first", tmp_path / "theirs.safetensors", "--model", tmp_path / "spec.json")
    second = run(data, tmp_path / "second", tmp_path / "ours.safetensors")
    assert sha_of(first) == sha_of(second)


@pytest.mark.slow
def test_published_weights_in_every_form(shared: Path, data: Path, tmp_path: Path) -> None:
    path = shared / "weights" / "imagenet_resnet18.safetensors"
    if not path.exists():
        pytest.skip("needs the development data")
    theirs = torchvision.models.resnet18(weights=None)
    theirs.load_state_dict(safetensors.torch.load_file(path))
    torch.save(theirs.state_dict(), tmp_path / "torchvision.pth")
    timms = timm.create_model("resnet18")
    timms.load_state_dict(theirs.state_dict())
    torch.save({"state_dict": timms.state_dict()}, tmp_path / "timm.pth")
    own_file(tmp_path / "ours.safetensors", find("resnet18"), theirs.state_dict(), wordnet_ids())
    found = {}
    for name in ("torchvision.pth", "timm.pth", "ours.safetensors"):
        out = run(data, tmp_path / f"of {name}", tmp_path / name, "steps=3")
        found[name] = sha_of(out)
        card = resnets.load(out).card
        assert card.spec == replace(find("resnet18"), classes=7)
        assert isinstance(card.preprocessing, Preprocessing)
        assert (card.preprocessing.mean, card.preprocessing.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert len(set(found.values())) == 1


def test_without_a_model_the_network_and_the_normalisation_are_those_of_the_weights(
    data: Path, tmp_path: Path, offline: None
) -> None:
    state = resnets.create("cifar_resnet20", seed=3).state_dict()
    torch.save(state, tmp_path / "theirs.pth")
    done = call("train", "fast/cifar10", "--data", data, "--weights", tmp_path / "theirs.pth", "--out",
                tmp_path / "run", "steps=2", "epochs=none", "warmup=none", "batch=8", "bn_batch=8",
                "preprocessing.resize=16", "preprocessing.crop=16", "precise_bn=0", "initialization.whiten=0",
                "tta=center", "ema=none")  # fmt: skip
    assert done.code == 0, done.err
    for line in (
        "The network is that of the weights: cifar_resnet20.",
        "does not say how images are read",
        "fc.weight (10, 64) was skipped: the new classifier has (7, 64).",
        "fc.bias (10,) was skipped: the new classifier has (7,).",
    ):
        assert line in done.err + done.out
    card = resnets.load(tmp_path / "run").card
    assert card.spec == replace(find("cifar_resnet20"), classes=7)
    assert isinstance(card.preprocessing, Preprocessing)
    assert card.preprocessing.mean == IMAGENET_MEAN


def test_seven_classes_and_four_channels_without_a_socket(tmp_path: Path, offline: None) -> None:
    state = randomized(resnets.create("resnet18").state_dict())
    torch.save(state, tmp_path / "theirs.pth")
    network = resnets.create("resnet18", classes=7, channels=4, weights=tmp_path / "theirs.pth").eval()
    three = resnets.create("resnet18", weights=tmp_path / "theirs.pth").eval()
    grey = torch.rand(2, 1, 40, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert network(grey.expand(-1, 4, -1, -1)).shape == (2, 7)
        torch.testing.assert_close(
            network.get_submodule("conv1")(grey.expand(-1, 4, -1, -1)),
            three.get_submodule("conv1")(grey.expand(-1, 3, -1, -1)),
        )


class _Code:
    """What runs a command when it is unpickled by pickle itself."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_code_in_a_pickle_is_refused_and_not_run(data: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": resnets.create(SPEC).state_dict(), "trap": _Code(tmp_path / "made")}, tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps(_Code(tmp_path / "made")))
    for name in ("a.pth", "b.pth"):
        done = call("train", "paper/cifar", "--data", data, "--weights", tmp_path / name, "--out", tmp_path / "run")
        assert done.code == 1
        assert f"{tmp_path / name} could not be read as weights" in done.err
        assert "ask its author for a safetensors file" in " ".join(done.err.split())
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "run").exists()
    with pytest.raises(FileNotFoundError):
        (tmp_path / "made").rmdir()
    pickle.loads((tmp_path / "b.pth").read_bytes())
    assert (tmp_path / "made").is_dir()  # the trap is a trap


def rows_of(path: Path) -> tuple[Tensor, Tensor]:
    network: Any = resnets.load(path).network
    return network.fc.weight, network.fc.bias


def test_rows_of_known_classes_are_kept_resumed_and_replayed_to_the_same_bits(data: Path, tmp_path: Path) -> None:
    spec = replace(SPEC, classes=1000)
    state = randomized(resnets.create(spec).state_dict())
    torch.save(state, tmp_path / "theirs.pth")
    (tmp_path / "spec.json").write_text(json.dumps(encode(spec)))
    more = ("--model", tmp_path / "spec.json", "optimizer.lr=1e-30", "--checkpoint-steps", 5, "--keep", 9)
    whole = run(data, tmp_path / "whole", tmp_path / "theirs.pth", *more)
    weight, bias = rows_of(whole)
    for row, name in enumerate(sorted(NAMES)):
        known = {"n01440764": 0, "goldfish": 1, "great_white_shark": 2}.get(name)
        assert torch.equal(weight[row], state["fc.weight"][known or 0]) == (known is not None)
        assert torch.equal(bias[row], state["fc.bias"][known or 0]) == (known is not None)
    done = call("train", "paper/cifar", "--data", data, "--weights", tmp_path / "theirs.pth", "--out",
                tmp_path / "said", *STEPS, *more)  # fmt: skip
    kept = "goldfish, great_white_shark, n01440764; the others start new"
    assert f"fc keeps the rows of 3 of 7 classes, which the weights know: {kept}." in done.out + done.err

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["step"] >= 12:
            raise KeyboardInterrupt

    cut = tmp_path / "cut"
    settings = [setting for setting in STEPS if setting != "optimizer.lr=0.05"]
    arguments: dict[str, Any] = {"data": str(data), "weights": tmp_path / "theirs.pth", "model": tmp_path / "spec.json"}
    with pytest.raises((KeyboardInterrupt, resnets.ResnetsError)):
        resnets.train("paper/cifar", *settings, "optimizer.lr=0.05", **arguments, out=cut, checkpoint_steps=5,
                      subscribers=(stop,))  # fmt: skip
    resnets.resume(cut)
    again = resnets.train("paper/cifar", *settings, "optimizer.lr=0.05", **arguments, out=tmp_path / "again")
    assert sha_of(cut) == sha_of(again.folder)
    short = resnets.train("paper/cifar", *settings, "steps=1", **arguments, out=tmp_path / "short")
    logged = [json.loads(line) for line in (short.folder / "log.jsonl").read_text().splitlines()]
    (loss,) = [event["loss"] for event in logged if event["event"] == "step"]
    assert resnets.replay(again.folder, step=1).loss == pytest.approx(loss, rel=1e-6)


def test_multi_label_keeps_rows_and_regression_does_not_ask(tmp_path: Path) -> None:
    folder_of(tmp_path / "images", ("all",), count=8)
    rows = [
        f"images/train/all/{i}.png,{'cat;dog' if i % 2 else 'newt'},{'val' if i > 5 else 'train'}" for i in range(8)
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["path,labels,split", *rows]) + "\n")
    rows = [f"images/train/all/{i}.png,{i},{'val' if i > 5 else 'train'}" for i in range(8)]
    (tmp_path / "numbers.csv").write_text("\n".join(["path,target,split", *rows]) + "\n")
    state = randomized(resnets.create(SPEC).state_dict())
    own_file(tmp_path / "ours.safetensors", SPEC, state, ("Dog", "cow", "target", "hen", "Cat"))
    more = ("optimizer.lr=1e-30", "--device", "cpu")
    out = run(tmp_path / "labels.csv", tmp_path / "labels", tmp_path / "ours.safetensors", *more)
    assert resnets.load(out).card.classes == ("cat", "dog", "newt")
    weight, bias = rows_of(out)
    assert torch.equal(weight[:2], state["fc.weight"][[4, 0]])
    assert torch.equal(bias[:2], state["fc.bias"][[4, 0]])
    out = run(tmp_path / "numbers.csv", tmp_path / "numbers", tmp_path / "ours.safetensors", "task=Regress", *more)
    assert not torch.equal(rows_of(out)[0][0], state["fc.weight"][2])


def test_a_segmentation_takes_the_network_of_a_classifier(tmp_path: Path) -> None:
    torch.save(resnets.create("resnet18", classes=3).state_dict(), tmp_path / "theirs.pth")
    g = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in (split, f"{split}annot"):
            (tmp_path / "masks" / name).mkdir(parents=True)
        for i in range(2):
            pixels = g.integers(0, 255, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "masks" / split / f"{i}.png")
            Image.fromarray((pixels[..., 0] > 128).astype(np.uint8)).save(
                tmp_path / "masks" / f"{split}annot" / f"{i}.png"
            )
    done = call("train", "--data", tmp_path / "masks", "--weights", tmp_path / "theirs.pth", "--out", tmp_path / "run",
                "preprocessing.crop=[32,32]", "preprocessing.resize=40", "batch=2", "steps=1", "epochs=none",
                "warmup=none", "evaluate_every=1000", "precision=fp32")  # fmt: skip
    assert done.code == 0, done.err
    spec = resnets.load(tmp_path / "run").card.spec
    assert (spec.block, spec.depths, spec.output_stride, spec.widths) == ("basic", (2, 2, 2, 2), 8, (64, 128, 256, 512))
