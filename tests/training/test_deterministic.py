"""float32 that is float32, and `deterministic=true`: what can be seen of them without CUDA."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import resnets
from resnets.core.config import decode, encode
from resnets.core.devices import full_float32
from resnets.core.errors import UsageError
from resnets.nn.layers import Layers
from resnets.recipes.catalog import find
from resnets.training import deterministic, environment
from resnets.training.environment import Environment, choose
from resnets.training.plan import CheckpointPolicy, Plan, read_plan
from tests.training.runs import sha_of

SHORT = ("model.depths=[1]", "model.widths=[8]", "model.stem_width=8")


def precisions() -> set[str]:
    backends: Any = torch.backends
    settings = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn, backends.mkldnn.conv)
    return {setting.fp32_precision for setting in (*settings, backends.mkldnn.matmul)}


def flags() -> tuple[bool, bool, bool]:
    cudnn = torch.backends.cudnn
    return torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, set[str], tuple[bool, bool, bool]]]:
    """Of each classifier's forward pass: whether it trained, and torch's settings then."""
    found: list[tuple[bool, set[str], tuple[bool, bool, bool]]] = []
    forward = nn.Linear.forward

    def watched(layer: nn.Linear, x: Tensor) -> Tensor:
        found.append((layer.training, precisions(), flags()))
        return forward(layer, x)

    monkeypatch.setattr(nn.Linear, "forward", watched)
    return found


def test_float32_is_float32_wherever_a_network_is_used(
    seen: list[tuple[bool, set[str], tuple[bool, bool, bool]]], tmp_path: Path
) -> None:
    before = precisions()
    assert before != {"ieee"}  # torch's own default is TF32 in convolutions
    run = resnets.train("digits", *SHORT, epochs=0.2, out=tmp_path / "run", device="cpu")
    assert {training for training, _, _ in seen} == {True, False}
    resnets.evaluate(run.folder, device="cpu")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "image.png")
    resnets.predict(run.folder, tmp_path / "image.png")
    resnets.benchmark("cifar_resnet20", batch=2, size=8, steps=1, device="cpu", precision="fp32")
    assert all(each == {"ieee"} for _, each, _ in seen)
    assert not any(any(each) for _, _, each in seen)
    assert precisions() == before


@pytest.mark.parametrize("mixed", [False, True])
def test_settings_of_either_kind_are_put_back(mixed: bool) -> None:
    cudnn: Any = torch.backends.cudnn
    torch.set_float32_matmul_precision("medium")
    if mixed:
        cudnn.rnn.fp32_precision = "ieee"  # torch no longer says what cudnn.allow_tf32 is
    before = precisions()
    try:
        with full_float32():
            assert precisions() == {"ieee"}
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cuda.matmul.allow_tf32
        assert precisions() == before
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
        cudnn.rnn.fp32_precision = "tf32"
    assert cudnn.allow_tf32


def test_a_deterministic_run_takes_such_algorithms_and_leaves_torch_as_it_was(
    seen: list[tuple[bool, set[str], tuple[bool, bool, bool]]], tmp_path: Path
) -> None:
    torch.backends.cudnn.benchmark = True
    try:
        run = resnets.train(
            "digits", *SHORT, "deterministic=true", epochs=0.2, out=tmp_path / "run", device="cpu", checkpoint_steps=2
        )
        assert flags() == (False, False, True)
    finally:
        torch.backends.cudnn.benchmark = False
    assert {each for _, _, each in seen} == {(True, True, False)}
    plain = resnets.train("digits", *SHORT, epochs=0.2, out=tmp_path / "plain", device="cpu")
    assert sha_of(run.folder) == sha_of(plain.folder)
    assert read_plan(run.folder / "recipe.json").recipe.deterministic
    seen.clear()
    resnets.replay(run.folder, step=3)
    assert {each for _, _, each in seen} == {(True, True, False)}


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_largest_value_of_a_channel_has_a_gradient_that_is_deterministic(dimensions: int) -> None:
    pool = Layers(dimensions=dimensions).global_pool("max")
    x = torch.relu(torch.randn(4, 8, *[5] * dimensions, generator=torch.Generator().manual_seed(0)) - 0.5)
    x[0] = 0  # all of them alike
    found = []
    for wanted in (False, True):
        own = x.clone().requires_grad_()
        with deterministic.deterministic(wanted):
            output = pool(own)
            output.square().sum().backward()
            names = {type(output.grad_fn).__name__} if wanted else set()
        assert not any("Adaptive" in name for name in names)
        found.append((output, own.grad))
    assert torch.equal(found[0][0], found[1][0])
    gradients = [gradient for _, gradient in found if gradient is not None]
    assert torch.equal(*gradients)


def test_checkpoints_are_of_the_same_run_however_it_is_computed() -> None:
    recipe = replace(find("digits"))
    plan = Plan(recipe=recipe, environment=choose("cpu"), checkpoints=CheckpointPolicy(), workers=0, data_sha256="0")
    assert replace(plan, recipe=replace(recipe, deterministic=True)).sha256 == plan.sha256
    assert replace(plan, recipe=replace(recipe, seed=1)).sha256 != plan.sha256


def test_a_layer_without_a_deterministic_form_is_named() -> None:
    with (
        pytest.raises(
            UsageError, match="adaptive_max_pool2d_backward_cuda has no deterministic implementation in torch"
        ),
        deterministic.deterministic(True),
    ):
        raise RuntimeError(
            "adaptive_max_pool2d_backward_cuda does not have a deterministic implementation, but you set "
            "'torch.use_deterministic_algorithms(True)'."
        )
    assert flags() == (False, False, False)


def test_cublas_is_configured_before_cuda_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = "CUBLAS_WORKSPACE_CONFIG"
    monkeypatch.setenv(name, "")  # so that it is put back
    monkeypatch.delenv(name)
    deterministic.reserve_cublas()
    assert name not in os.environ  # there is no CUDA here
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(UsageError, match=rf"needs {name}=:4096:8 in the environment before CUDA starts"):
        resnets.train("digits", "deterministic=true", out=tmp_path / "run")
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    deterministic.reserve_cublas()
    assert os.environ[name] == ":4096:8"
    assert f"{name}=:4096:8" in environment._switches()
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    deterministic.reserve_cublas()  # it is set already


def test_the_environment_says_what_the_last_bit_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    now = choose("cpu")
    assert now.switches is not None
    assert "ONEDNN_MAX_CPU_ISA=AVX2" in now.switches
    assert now.cpu_capability == torch.backends.cpu.get_cpu_capability()
    assert (now.numpy, now.cudnn) == (np.__version__, "none")
    assert now.torchvision
    assert now.pillow
    assert decode(Environment, json.loads(json.dumps(encode(now)))) == now


def test_what_an_older_run_did_not_record_is_no_change() -> None:
    now = choose("cpu")
    old = {name: value for name, value in encode(now).items() if name in (
        "device", "precision", "layout", "threads", "hardware", "torch", "python", "resnets")}  # fmt: skip
    then = decode(Environment, old | {"torch": "2.11", "threads": 99})
    assert then.changes(now) == [f"torch 2.11 is now {torch.__version__}"]
    other = replace(now, cpu_capability="AVX2", switches=("MKL_CBWR=AVX2",))
    assert [change.partition(" ")[0] for change in other.changes(now)] == ["cpu_capability", "switches"]


def test_bf16_is_refused_where_torch_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.amp, "is_autocast_available", lambda kind: False)
    with pytest.raises(UsageError, match="torch cannot train in bf16 on cpu: choose precision=fp32"):
        choose("cpu", "bf16")
    assert choose("cpu", "fp32").precision == "fp32"


def test_threads_that_overlap_leave_the_settings_as_they_were() -> None:
    before = precisions()
    first, second = full_float32(), full_float32()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert precisions() == {"ieee"}
    second.__exit__(None, None, None)
    assert precisions() == before
