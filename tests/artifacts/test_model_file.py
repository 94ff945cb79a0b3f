"""The model file: what is saved is loaded, and files that are not valid are refused with the reason."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from resnets.artifacts import model_file
from resnets.artifacts.model import Model, load
from resnets.artifacts.model_file import weights_sha256
from resnets.core.config import encode
from resnets.core.errors import FileError, UsageError
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.version import __version__


def read_header(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header and the tensors' bytes, as the safetensors format describes them."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def rewrite(path: Path, description: dict[str, Any]) -> None:
    """Puts another description in place of the one in `path`."""
    header, tensors = read_header(path)
    header["__metadata__"]["resnets"] = json.dumps(description)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + tensors)


def description_of(path: Path) -> dict[str, Any]:
    description = json.loads(read_header(path)[0]["__metadata__"]["resnets"])
    assert isinstance(description, dict)
    return description


def test_weights_and_card_come_back_as_they_went(model: Model, path: Path) -> None:
    state, card = model_file.load(path)
    assert card == model.card
    own = model.network.state_dict()
    assert state.keys() == own.keys()
    assert all(torch.equal(state[k], own[k]) and state[k].dtype == own[k].dtype for k in own)


def test_other_readers_see_the_same_weights(model: Model, path: Path) -> None:
    theirs = safetensors.torch.load_file(path)
    assert all(torch.equal(theirs[name], tensor) for name, tensor in model.network.state_dict().items())


def test_the_metadata_is_json_that_says_what_the_model_is(model: Model, path: Path) -> None:
    assert description_of(path) == {
        "format": 1,
        "version": __version__,
        "task": "classification",
        "spec": encode(model.card.spec),
        "classes": list(model.card.classes),
        "preprocessing": encode(model.card.preprocessing),
        "recipe": model.card.recipe,
        "environment": model.card.environment,
        "metrics": model.card.metrics,
    }


def test_strides_and_devices_of_memory_do_not_reach_the_file(model: Model, path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    network: Any = model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert not network.conv1.weight.is_contiguous()
    model_file.save(
        other, {k: v.requires_grad_(v.is_floating_point()) for k, v in network.state_dict().items()}, model.card
    )
    assert other.read_bytes() == path.read_bytes()


def test_the_header_says_format_pt_and_has_the_same_bytes_each_time(model: Model, path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    assert end % 8 == 0  # so that numbers can be mapped into memory
    header = json.loads(content[8:end])
    assert list(header["__metadata__"]) == ["format", "resnets"]
    assert header["__metadata__"]["format"] == "pt"
    with safetensors.safe_open(path, framework="pt") as file:
        assert file.metadata() == header["__metadata__"]
        assert set(file.keys()) == set(model.network.state_dict())
    for _ in range(10):  # safetensors itself gives several keys of metadata an order by chance
        model_file.save(tmp_path / "m", model.network.state_dict(), model.card)
        assert (tmp_path / "m").read_bytes() == content


def test_a_file_without_a_format_loads(model: Model, path: Path, tmp_path: Path) -> None:
    metadata = {model_file.KEY: model_file.read_safetensors(path)[1][model_file.KEY]}
    safetensors.torch.save_file(model.network.state_dict(), tmp_path / "m", metadata)
    assert load(tmp_path / "m").card == model.card


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.uint8, torch.bool])
def test_every_dtype_comes_back(dtype: torch.dtype, model: Model, tmp_path: Path) -> None:
    state = model.network.state_dict() | {"extra": torch.arange(6).reshape(2, 3).to(dtype)}
    model_file.save(tmp_path / "m", state, model.card)
    found = model_file.load(tmp_path / "m")[0]["extra"]
    assert found.dtype == dtype
    assert torch.equal(found, state["extra"])


def test_class_names_that_are_not_utf8_come_back(model: Model, tmp_path: Path) -> None:
    classes = (os.fsdecode(b"gr\xf6\xdfe"), *model.card.classes[1:])
    model_file.save(tmp_path / "m", model.network.state_dict(), replace(model.card, classes=classes))
    assert load(tmp_path / "m").classes == classes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("a", "b")}, "there are 2 class names for 7 classes"),
        (
            {"preprocessing": Preprocessing(color="L", mean=(0.5,), std=(1.0,))},
            "preprocessing gives 1 channels, and the network takes 3",
        ),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str, model: Model) -> None:
    with pytest.raises(UsageError, match=message):
        replace(model.card, **changes)


def naive_sha256(state: dict[str, Tensor]) -> str:
    """The documented formula, byte by byte."""
    entries = b""
    for name, tensor in sorted(state.items()):
        dtype = {torch.float32: "float32", torch.int64: "int64"}[tensor.dtype]
        values = tensor.contiguous().numpy().astype({"float32": "<f4", "int64": "<i8"}[dtype]).tobytes()
        entries += b"\0".join([name.encode(), dtype.encode(), str(tuple(tensor.shape)).encode(), values])
    return hashlib.sha256(entries).hexdigest()


def test_the_weights_digest_is_the_documented_formula(model: Model) -> None:
    state = model.network.state_dict()
    assert weights_sha256(state) == naive_sha256(state)
    assert weights_sha256(dict(reversed(state.items()))) == naive_sha256(state)
    network: Any = model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert weights_sha256(network.state_dict()) == naive_sha256(state)


@pytest.mark.parametrize(
    "other",
    [
        {"b": torch.tensor([[1.0, 2.0]])},
        {"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor([])},
        {"a": torch.tensor([1.0, 2.0])},
        {"a": torch.tensor([[1.0], [2.0]])},
        {"a": torch.tensor([[1.0, 2.0]]).view(torch.int32)},
        {"a": torch.tensor([[2.0, 1.0]])},
        {"a": torch.tensor([[1.0, 2.0000002]])},
        {},
    ],
    ids=["name", "entry", "rank", "shape", "dtype", "order", "last bit", "nothing"],
)
def test_the_weights_digest_notices_every_change(other: dict[str, Tensor]) -> None:
    assert weights_sha256(other) != weights_sha256({"a": torch.tensor([[1.0, 2.0]])})


def test_a_newer_format_is_refused_with_advice(path: Path) -> None:
    rewrite(path, description_of(path) | {"format": 3, "news": []})
    with pytest.raises(FileError, match=r"has format 3, and this version of resnets reads up to 2: upgrade resnets"):
        load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 0}, "format 0 is unknown"),
        ({"format": "1"}, "format '1' is unknown"),
        ({"spec": {"depts": [1]}}, "No setting of spec is called 'depts': did you mean depths"),
        ({"spec": {"classes": 8}}, "there are 7 class names for 8 classes"),
        ({"classes": None}, "classes takes a list"),
        ({"recipe": []}, "recipe is not an object"),
        ({"preprocessing": {"crop": -1}}, "crop -1"),
        ({"task": 3}, "task takes a text"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused_by_its_place(
    changes: dict[str, Any], message: str, path: Path
) -> None:
    rewrite(path, description_of(path) | changes)
    with pytest.raises(FileError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "spec",
    [
        {"depths": [10**9, 1]},
        {"depths": [1, 2]},
        {"widths": [2**40, 16]},
        {"widths": [10**30, 16]},
        {"widths": [8, 8]},
        {"dimensions": 3},
        {"preactivation": True},
        {"norm": "none"},
        {"block": "bottleneck"},
    ],
    ids=str,
)
def test_weights_of_another_spec_are_refused_before_they_cost_memory(spec: dict[str, Any], path: Path) -> None:
    description = description_of(path)
    rewrite(path, description | {"spec": description["spec"] | spec})
    with pytest.raises(FileError, match=str(path)):
        load(path)


def test_weights_of_others_are_refused_with_advice(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "theirs.safetensors"
    safetensors.torch.save_file(model.network.state_dict(), path, {"format": "pt"})
    with pytest.raises(FileError, match=r"not a model file of resnets.*resnets.create\(NAME, weights=\"FILE\"\)"):
        load(path)


@pytest.mark.parametrize("place", ["Missing.safetensors", "."])
def test_a_missing_file_and_a_folder_are_named_as_the_system_names_them(place: str, tmp_path: Path) -> None:
    reason = "is a directory" if place == "." else "no such file or directory"
    with pytest.raises(FileError, match=f"^Cannot read {tmp_path / place}: {reason}.$"):
        model_file.load(tmp_path / place)
