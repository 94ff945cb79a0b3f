"""Weights that are a part of a larger checkpoint, under its prefix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor

import resnets
from resnets.core.errors import FileError
from resnets.models.initialize import create
from resnets.models.spec import Spec

SPEC = Spec(depths=(1, 1), widths=(4, 8), stem="cifar", stem_width=4, classes=3)
THEIRS = create(SPEC, seed=1).state_dict()
TRUNK = {name: value for name, value in THEIRS.items() if not name.startswith("fc.")}
NOISE = torch.arange(6.0)


def below(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def load(content: Any, tmp_path: Path, spec: Spec = SPEC) -> Any:
    torch.save(content, tmp_path / "theirs.pth")
    return resnets.create(spec, weights=tmp_path / "theirs.pth", seed=2)


def has(network: Any, state: dict[str, Tensor]) -> bool:
    own = network.state_dict()
    return all(torch.equal(own[name], value) for name, value in state.items())


@pytest.mark.parametrize(
    "prefix", ["backbone.", "net.", "encoder.", "resnet.", "module.backbone.", "_orig_mod.net.", "model._orig_mod.a.b."]
)
def test_a_common_prefix_is_removed_and_said(prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert has(load({"state_dict": below(prefix, THEIRS), "epoch": 3}, tmp_path), THEIRS)
    assert capsys.readouterr().err == (
        f"The weights of the network are those under {prefix} in {tmp_path / 'theirs.pth'}.\n"
    )


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "ema.", "module.model."])
def test_those_of_wrappers_say_nothing(prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert has(load(below(prefix, THEIRS), tmp_path), THEIRS)
    assert capsys.readouterr().err == ""


def test_a_self_supervised_checkpoint_gives_its_encoder_and_a_new_head(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    projection = {"module.encoder.fc.0.weight": NOISE, "module.encoder.fc.2.weight": NOISE}
    state = below("module.encoder.", TRUNK) | projection | {"module.predictor.0.weight": NOISE, "queue": NOISE}
    network = load({"arch": "resnet50", "state_dict": state}, tmp_path)
    assert has(network, TRUNK)
    assert torch.equal(network.fc.weight, create(SPEC, seed=2).fc.weight)
    said = capsys.readouterr().err
    assert "those under module.encoder. in" in said
    assert "fc starts new: the weights have no such head." in said
    assert "theirs.pth: module.predictor.0.weight, queue, module.encoder.fc.0.weight and 1 more.\n" in said


def test_a_head_beside_the_backbone_is_taken(tmp_path: Path) -> None:
    state = below("backbone.", TRUNK) | below("head.", {name: THEIRS[name] for name in ("fc.weight", "fc.bias")})
    assert has(load({"meta": {"epoch": 3}, "state_dict": state}, tmp_path), THEIRS)


@pytest.mark.parametrize("names", [("module.encoder_q.", "module.encoder_k."), ("student.backbone.", "teacher.net.")])
def test_two_sets_are_refused_with_how_to_save_one(names: tuple[str, str], tmp_path: Path) -> None:
    state = below(names[0], THEIRS) | below(names[1], TRUNK)
    message = f"holds 2 sets of weights of this network, under {names[0]} and {names[1]}. Save the one to use: torch.s"
    with pytest.raises(FileError, match=message):
        load({"state_dict": state}, tmp_path)
    with pytest.raises(FileError, match=r"holds 2 sets of weights, student and teacher. Save .*\['student'\], 'one"):
        load({"student": THEIRS, "teacher": THEIRS, "epoch": 1, "optimizer": {"lr": 0.1}}, tmp_path)
    assert has(load({"network": THEIRS, "optimizer": {"lr": 0.1}}, tmp_path), THEIRS)


def test_weights_that_lack_a_layer_are_refused_as_before(tmp_path: Path) -> None:
    state = below("encoder.", {name: value for name, value in THEIRS.items() if "layer2.0.conv1" not in name})
    with pytest.raises(FileError, match=r"conv1\.weight is missing"):
        load(state, tmp_path)


def test_a_run_starts_from_them_with_a_note(tmp_path: Path) -> None:
    torch.save(below("net.", THEIRS), tmp_path / "theirs.pth")
    small = ["model.depths=[1,1]", "model.widths=[4,8]", "model.stem=cifar", "model.stem_width=4", "model.channels=1"]
    run = resnets.train(
        "digits", *small, "steps=1", "optimizer.lr=1e-9", weights=tmp_path / "theirs.pth", out=tmp_path / "run"
    )
    assert "those under net. in" in (run.folder / "log.jsonl").read_text()


def test_hugging_faces_names_load(tmp_path: Path) -> None:
    theirs = torchvision.models.resnet50(weights=None, num_classes=5)
    parts = {"conv": "convolution", "bn": "normalization"}
    state: dict[str, Tensor] = {}
    for name, value in theirs.state_dict().items():
        words = name.split(".")
        if words[0] in ("conv1", "bn1"):
            own = f"resnet.embedder.embedder.{parts[words[0][:-1]]}.{words[1]}"
        elif words[0] == "fc":
            own = f"classifier.1.{words[1]}"
        else:
            own = f"resnet.encoder.stages.{int(words[0][-1]) - 1}.layers.{words[1]}."
            if words[2] == "downsample":
                own += f"shortcut.{('convolution', 'normalization')[int(words[3])]}.{words[4]}"
            else:
                own += f"layer.{int(words[2][-1]) - 1}.{parts[words[2][:-1]]}.{words[3]}"
        state[own] = value
    torch.save(state, tmp_path / "pytorch_model.bin")
    ours = resnets.create("resnet50", classes=5, weights=tmp_path / "pytorch_model.bin", weights_stride="3x3")
    assert has(ours, theirs.state_dict())
