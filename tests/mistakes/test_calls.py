"""Settings, arguments, devices and sizes that are not as meant are answered with what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import resnets
from resnets.core.errors import ArgumentError, UsageError
from tests.command_line import TINY, call


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("lr=0.01", "optimizer.lr=0.01"),
        ("learning_rate=0.01", "optimizer.lr=0.01"),
        ("weight_decay=0", "optimizer.weight_decay=0"),
        ("momentum=0.8", "optimizer.momentum=0.8"),
        ("batch_size=8", "batch=8"),
    ],
)
def test_a_setting_by_its_last_name_or_its_name_elsewhere(setting: str, meant: str, tmp_path: Path) -> None:
    name, _, value = setting.partition("=")
    found = call("train", "digits", setting, "--out", tmp_path / "run")
    assert (found.code, found.err) == (2, f"resnets: No setting is called {name!r}: did you mean {meant}?\n")
    with pytest.raises(ArgumentError, match=f"train has no argument {name!r}: did you mean the setting {meant!r}"):
        resnets.train("digits", **{name: value})  # type: ignore[arg-type]


def test_other_arguments_that_are_not_there_get_the_nearest() -> None:
    with pytest.raises(ArgumentError, match=r"train has no argument 'batch': give the setting as a text, \"batch=8\""):
        resnets.train("digits", batch=8)  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match=r"No argument of evaluate is called 'worker': did you mean workers\?"):
        resnets.evaluate("run", worker=1)  # type: ignore[call-arg]


def test_a_network_under_images_of_another_size_says_at_which_it_trains(photos: Path, tmp_path: Path) -> None:
    data = ["--data", photos, "epochs=1", "batch=8", "--device", "cpu", "precision=fp32", "evaluate_every=1000"]
    imagenet = ["model.depths=[1,1]", "model.widths=[4,8]"]
    found = call("train", "paper/cifar", "--model", "resnet18", *imagenet, *data, "--out", tmp_path / "a")
    change = "--size 224"
    assert (
        f"Note: resnet18 is made for images of 224 px, and trains at 32 px here: {change} changes that.\n" in found.err
    )
    found = call("train", "paper/cifar", "--model", "cifar_resnet20", *data, *imagenet, "--out", tmp_path / "b")
    assert "is made for" not in found.err


def test_devices_are_refused_with_what_there_is(run: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("the machine has CUDA")
    refused: dict[Any, str] = {
        "cuda": "(finds no GPU with a driver|is built without CUDA)",
        "cuda:7": "(finds no GPU with a driver|is built without CUDA)",
        torch.device("cuda"): "(finds no GPU with a driver|is built without CUDA)",
        "gpu": "torch knows no such kind",
        "xpu": "XPU",
    }
    for device, why in refused.items():
        with pytest.raises(UsageError, match=rf"^Device '{device}' cannot be used: .*{why}.*\. Choose auto"):
            resnets.load(run, device)


def test_numbers_and_paths_of_other_libraries_are_taken(photos: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "epochs": np.float32(1), "seed": np.int64(3), "out": np.str_(tmp_path / "run"), "device": torch.device("cpu"),
        "workers": torch.tensor(1), "keep": np.array(1), "tensorboard": np.bool_(False),
    }  # fmt: skip
    run = resnets.train("paper/cifar", *TINY, data=photos, **given)
    recipe = resnets.load(run.folder).card.recipe
    assert (recipe["seed"], recipe["epochs"], recipe["data"]) == (3, 1.0, str(photos))
    image = photos / "val" / "red" / "0.jpg"
    one: Any = np.int8(1)
    assert len(resnets.predict(str(run.folder), image, top=one)[0]) == 1
    fields: dict[str, Any] = {"classes": np.int32(3), "drop_path": np.float16(0.5)}
    assert resnets.create("resnet18", **fields).spec.classes == 3
    spec = resnets.Spec(depths=np.array([1, 1]), widths=(np.int64(4), 8), classes=torch.tensor(3))  # type: ignore[arg-type]
    assert spec == resnets.Spec(depths=(1, 1), widths=(4, 8), classes=3)
    assert {type(each) for each in (*spec.depths, *spec.widths, spec.classes)} == {int}
    mean = resnets.Preprocessing(mean=torch.tensor([0.25, 0.5, 0.5])).mean  # type: ignore[arg-type]
    assert mean == (0.25, 0.5, 0.5)


def test_a_network_is_no_model(run: Path, tmp_path: Path) -> None:
    net = resnets.create("cifar_resnet20")
    saved = r"model takes a model file, a run or a Model, not a ResNet: write .* by resnets.save\(network, FILE, "
    with pytest.raises(UsageError, match=saved):
        resnets.evaluate(net)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=saved):
        resnets.predict(net, "seven.png")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"not a list: give several one by one"):
        resnets.evaluate([run, run])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^model takes a text or a path or Spec, not of type ResNet.$"):
        resnets.describe(net)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^network takes Module, not of type Tensor.$"):
        resnets.save(torch.ones(3, 3), tmp_path / "a.safetensors")  # type: ignore[call-overload]


def test_arguments_of_other_libraries(tmp_path: Path) -> None:
    for given, meant in (("verbose", "quiet"), ("progress", "quiet"), ("callbacks", "subscribers")):
        with pytest.raises(ArgumentError, match=f"^No argument of train is called '{given}': did you mean {meant}\\?$"):
            resnets.train("digits", **{given: False})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^subscribers takes a list, not <built-in function len>.$"):
        resnets.train("digits", subscribers=len)  # type: ignore[arg-type]


def test_what_a_model_predicts_is_checked_as_the_command_checks_it(run: Path) -> None:
    model = resnets.load(run)
    with pytest.raises(
        UsageError, match=r"https://x.y/z.png is an address, and each image is read from this machine's"
    ):
        model.predict("https://x.y/z.png")
    with pytest.raises(UsageError, match=r"https://x.y/z.png is an address"):
        model.embed(["https://x.y/z.png"])
    with pytest.raises(UsageError, match=r"^top takes a whole number, not '3'.$"):
        model.predict(np.zeros((8, 8), np.uint8), top="3")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["--lr", "0.01"], "'--lr': did you mean the setting optimizer.lr=0.01, without dashes?"),
        (["--lr=0.01"], "'--lr': did you mean the setting optimizer.lr=0.01, without dashes?"),
        (["--batch-size", "32"], "'--batch-size': did you mean the setting batch=32, without dashes?"),
        (["--batch", "32"], "'--batch': did you mean the setting batch=32, without dashes?"),
        (["--weight-decay", "--quiet"], "did you mean the setting optimizer.weight_decay=VALUE, without dashes?"),
        (["--epoch", "3"], "'--epoch': did you mean --epochs"),
        (["--verbose"], "'--verbose': did you mean --quiet?"),
        (["--gpu"], "'--gpu': did you mean --device?"),
        (["--pretrained"], "'--pretrained': did you mean --weights?"),
    ],
)
def test_flags_of_other_programs(given: list[str], meant: str) -> None:
    found = call("train", "digits", *given)
    assert found.code == 2
    assert found.err.startswith("resnets: No option of resnets train is called ")
    assert meant in found.err


def test_a_network_as_a_setting(tmp_path: Path) -> None:
    found = call("train", "digits", "model=resnet18", "--out", tmp_path / "run")
    expected = "resnets: The network is no setting: give --model resnet18, in Python model='resnet18'.\n"
    assert (found.code, found.err) == (2, expected)


@pytest.mark.parametrize("command", ["describe", "benchmark"])
@pytest.mark.parametrize("name", ["runs/none", "none.safetensors"])
def test_a_missing_run_is_no_unknown_network(command: str, name: str) -> None:
    found = call(command, name)
    assert (found.code, found.err) == (1, f"resnets: There is no model file or run folder {name}.\n")
