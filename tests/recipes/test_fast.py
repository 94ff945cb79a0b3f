"""fast/cifar10 on real files, from the command line, to the end and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import resnets
from resnets.artifacts.model import load
from resnets.cli import main
from tests.training.runs import make_pictures

SMALL = ("batch=24", "group=12", "model.widths=[8,8,16]", "model.stem_width=8", "initialization.whiten=60")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data"))


def test_it_trains_resumes_and_is_tested_as_its_recipe_says(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    argv = ["train", "fast/cifar10", "--data", str(data), "--out", str(out), "--epochs", "6", *SMALL]
    assert main([*argv, "--checkpoint-steps", "10"]) == 0
    whole = load(out)
    filters = whole.network.get_parameter("conv1.0.weight")
    assert torch.equal(filters[:12], -filters[12:])  # made of the pictures, and never trained
    assert whole.test_view == "shift"
    last = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()][-2]
    assert resnets.evaluate(out, data=str(data)).metrics["loss"] == last["loss"]
    assert resnets.evaluate(out, data=str(data), views="center").metrics["loss"] != last["loss"]

    class CutError(Exception):
        pass

    def listener(event: dict[str, object]) -> None:
        if event["event"] == "step" and int(str(event["step"])) >= 20:
            raise CutError

    with pytest.raises(CutError):
        resnets.train(
            "fast/cifar10", *SMALL, data=str(data), epochs=6, out=tmp_path / "cut", checkpoint_steps=10,
            listeners=(listener,),
        )  # fmt: skip
    resnets.resume(tmp_path / "cut")
    again = load(tmp_path / "cut").network.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in whole.network.state_dict().items())
    capsys.readouterr()
    assert main(["predict", str(out), str(next((data / "val").glob("*/*.png"))), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
