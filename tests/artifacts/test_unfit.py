"""Files that are no classifier, and numbers that are no weights: refused by name, at once, at every entry."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor

import resnets
from resnets.artifacts import model_file
from resnets.artifacts.model_file import ModelCard
from resnets.cli import main
from resnets.core.errors import FileError, UsageError
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.models.initialize import create
from resnets.models.spec import Spec
from resnets.models.surgery import transplant
from tests.artifacts.test_model_file import description_of, rewrite

SPEC = Spec(depths=(1, 1), widths=(8, 16), stem_width=8, classes=2)
CARD = ModelCard(spec=SPEC, classes=("a", "b"), preprocessing=Preprocessing(resize=32, crop=32))
State = dict[str, Tensor]

# Each way in: what loads the weights `state` from a file in the folder.
ENTRIES: dict[str, Callable[[Path, State], object]] = {}


def entry(function: Callable[[Path, State], object]) -> Callable[[Path, State], object]:
    ENTRIES[function.__name__] = function
    return function


def saved(folder: Path, state: State) -> Path:
    model_file.save(folder / "model.safetensors", state, CARD)
    return folder / "model.safetensors"


@entry
def load(folder: Path, state: State) -> object:
    return resnets.load(saved(folder, state))


@entry
def run_folder(folder: Path, state: State) -> object:
    return resnets.load(saved(folder, state).parent)


@entry
def create_from_model_file(folder: Path, state: State) -> object:
    return resnets.create(SPEC, weights=saved(folder, state))


@entry
def create_from_safetensors(folder: Path, state: State) -> object:
    safetensors.torch.save_file(state, folder / "theirs.safetensors")
    return resnets.create(SPEC, weights=folder / "theirs.safetensors")


@entry
def create_from_pth(folder: Path, state: State) -> object:
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, folder / "theirs.pth")
    return resnets.create(SPEC, weights=folder / "theirs.pth")


@entry
def create_with_other_channels(folder: Path, state: State) -> object:
    torch.save(state, folder / "theirs.pth")
    return resnets.create(SPEC, channels=1, classes=3, weights=folder / "theirs.pth")


def whole() -> State:
    return create(SPEC, seed=1).state_dict()


def spoiled(name: str, value: float) -> State:
    state = whole()
    state[name] = state[name].clone()
    state[name].view(-1)[2] = value
    return state


@pytest.mark.parametrize("way", ENTRIES)
@pytest.mark.parametrize(
    ("name", "value"),
    [("conv1.weight", float("nan")), ("layer2.0.bn1.bias", float("inf")), ("bn1.running_var", -1.0)],
)
def test_numbers_that_are_not_finite_are_refused_by_the_tensors_name(
    name: str, value: float, way: str, tmp_path: Path
) -> None:
    with pytest.raises(FileError, match=rf"{tmp_path}.* holds NaN, infinity or .* in {name} \(1 of "):
        ENTRIES[way](tmp_path, spoiled(name, value))
    ENTRIES[way](tmp_path, whole())


@pytest.mark.parametrize("way", ENTRIES)
@pytest.mark.parametrize("dtype", [torch.int32, torch.int8, torch.bool, torch.float8_e4m3fn], ids=str)
def test_integers_where_weights_belong_are_refused_by_name(dtype: torch.dtype, way: str, tmp_path: Path) -> None:
    for name in ("conv1.weight", "bn1.running_mean"):
        state = whole()
        state[name] = (100 * state[name]).to(dtype)
        with pytest.raises(FileError, match=rf"quantised network has: {name} \({str(dtype).removeprefix('torch.')}\)"):
            ENTRIES[way](tmp_path, state)


@pytest.mark.parametrize("make", [Tensor.to_sparse, lambda t: t.to("meta")], ids=["sparse", "meta"])
def test_tensors_without_numbers_of_their_own_are_refused(make: Callable[[Tensor], Tensor], tmp_path: Path) -> None:
    state = whole()
    state["fc.weight"] = make(state["fc.weight"])
    torch.save(state, tmp_path / "theirs.pth")
    with pytest.raises(FileError, match=r"fc.weight \(float32, not dense\)"):
        resnets.create(SPEC, weights=tmp_path / "theirs.pth")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_other_floating_point_kinds_load_and_what_overflows_is_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    state = whole() | {"fc.weight": whole()["fc.weight"].to(dtype)}
    assert ENTRIES["create_from_safetensors"](tmp_path, state)
    state["fc.weight"] = torch.full_like(state["fc.weight"], 1e300, dtype=torch.float64)
    with pytest.raises(FileError, match=r"infinity .* in fc.weight \(32 of 32 numbers\)"):
        transplant(create(SPEC), state, "there")


@pytest.mark.parametrize("task", ["pose", ""])
def test_a_model_of_another_task_is_refused_by_name_at_every_entry(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.safetensors"
    model_file.save(path, whole(), CARD)
    rewrite(path, description_of(path) | {"task": task})
    for load in (resnets.load, resnets.describe, resnets.predict, resnets.evaluate):
        with pytest.raises(
            FileError, match=f"model.safetensors is a model for '{task}', and .* only reads models for classification"
        ):
            load(path, *(["x.png"] if load is resnets.predict else []))
    with pytest.raises(FileError, match=f"is a model for '{task}'"):
        resnets.create(SPEC, weights=path)
    assert main(["predict", str(path), "x.png"]) == 1
    assert f"is a model for '{task}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None), "segmentation"),
        (
            lambda: torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None),
            "detection",
        ),
    ],
    ids=["segmentation", "detection"],
)
def test_torchvisions_networks_for_other_tasks_are_refused_by_name(
    make: Callable[[], torch.nn.Module], kind: str, tmp_path: Path
) -> None:
    with torch.device("meta"):
        names = make().state_dict()
    safetensors.torch.save_file({name: torch.zeros(1) for name in names}, tmp_path / "theirs.safetensors")
    with pytest.raises(FileError, match=rf"theirs.safetensors holds a network for {kind} \(.*backbone.*not a classif"):
        resnets.create(SPEC, weights=tmp_path / "theirs.safetensors")


def write_header(path: Path, text: bytes, length: int | None = None) -> Path:
    path.write_bytes((length or len(text)).to_bytes(8, "little") + text)
    return path


def tensors(count: int) -> bytes:
    row = b'"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return b"{" + b",".join(row % number for number in range(count)) + b"}"


HOSTILE: dict[str, Callable[[Path], Path]] = {
    "60,000 empty tensors": lambda path: write_header(path, tensors(60_000)),
    "a header of 2 EiB": lambda path: write_header(path, b"{}", 2**61),
    "a header of 40 MiB": lambda path: write_header(path, b"{" + b" " * (40 * 2**20) + b"}"),
    "400,000 tensors": lambda path: write_header(path, tensors(400_000)),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_at_once(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path / "model.safetensors")
    for load in (resnets.load, lambda path: resnets.create(SPEC, weights=path)):
        started = time.process_time()
        with pytest.raises(FileError, match=str(path)):
            load(path)
        assert time.process_time() - started < 5


def test_a_pickle_of_too_many_tensors_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "theirs.pth"
    torch.save(whole(), path)
    monkeypatch.setattr(model_file, "MOST_TENSORS", 20)
    monkeypatch.setattr(torch, "load", lambda *arguments, **named: pytest.fail("it was read"))
    with pytest.raises(FileError, match=r"has \d+ tensors, and a residual network has at most 20"):
        resnets.create(SPEC, weights=path)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"depths": [10**9, 1, 1], "widths": [16, 32, 64], "stem": "cifar"}, "1,000,000,002 blocks in 3 stages"),
        pytest.param(
            {"depths": [1] * 100_000, "widths": [8] * 100_000},
            "100,000 blocks in 100,000 stages",
            marks=pytest.mark.slow,
        ),
        ({"depths": [1] * 100_000, "widths": [8]}, "100,000 blocks in 100,000 stages"),
        pytest.param({"depths": [1], "widths": [8] * 100_000}, "1 blocks in 1 stages", marks=pytest.mark.slow),
        ({"depths": [1], "widths": [10**30]}, "widths"),
        ({"depths": [1], "widths": [8], "classes": 10**12}, "not 1,000,000,000,000"),
        ({"depths": [1], "widths": [8], "norm_eps": 1e999}, "finite|number"),
    ],
    ids=["depth of 1e9", "100,000 stages", "of one width", "of one depth", "wide", "classes", "infinite"],
)
def test_a_spec_without_measure_is_refused_at_once_at_every_entry(
    spec: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec))
    model = saved(tmp_path, whole())
    header = safetensors.safe_open(model, "pt").metadata()  # type: ignore[no-untyped-call]
    header["resnets"] = json.dumps(json.loads(header["resnets"]) | {"spec": spec})
    safetensors.torch.save_file(whole(), model, header)
    for argv in (
        ["describe", str(path)],
        ["describe", str(model)],
        ["train", "digits", "--model", str(path), "--out", str(tmp_path / "run")],
        ["benchmark", str(path)],
    ):
        started = time.process_time()
        assert main(argv) in (1, 2)
        assert time.process_time() - started < 5
        shown = capsys.readouterr().err
        assert len(shown) < 1000
        assert any(part in shown for part in message.split("|"))


def test_a_network_too_large_for_any_memory_is_refused_before_it_costs_some() -> None:
    with pytest.raises(UsageError, match=r"parameters would take .* GiB for its weights alone"):
        resnets.create(Spec(widths=(2**20,) * 4))
