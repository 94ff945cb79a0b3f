"""Activation checkpointing changes nothing but time and memory."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from resnets.models.catalog import find
from resnets.models.initialize import create
from resnets.models.memory import Segments
from resnets.models.spec import Spec
from resnets.nn.stochastic import set_rng_keys

BASIC = replace(find("cifar_resnet20"), depths=(4, 3, 3), drop_path=0.4, dropout=0.1)
PREACT = replace(find("cifar_preact164"), depths=(3, 3, 3))
PLAIN = replace(find("cifar_plain20"), norm="group")
IMAGENET = Spec(depths=(3, 3), widths=(8, 16), gate="se", shortcut="D", classes=10)


def step(spec: Spec, segments: Segments, *, bf16: bool) -> dict[str, torch.Tensor]:
    """Loss, gradients and buffers of two steps, as training takes them."""
    network = create(spec, seed=3).train()
    network.recomputed = segments
    g = torch.Generator().manual_seed(0)
    found: dict[str, torch.Tensor] = {}
    for number in range(2):
        images = torch.rand(8, 3, 32, 32, generator=g).contiguous(memory_format=torch.channels_last)
        set_rng_keys(network, torch.randint(2**62, (8,), generator=g))
        with torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext():
            logits = network(images)
        loss = F.cross_entropy(logits.float(), torch.arange(8))
        loss.backward()  # type: ignore[no-untyped-call]
        found[f"loss {number}"] = loss.detach()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        found[name] = parameter.grad
    return found | dict(network.named_buffers())


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("spec", [BASIC, PREACT, PLAIN, IMAGENET], ids=["basic", "preact", "plain", "imagenet"])
@pytest.mark.parametrize(
    "lengths", [pytest.param((1,), marks=pytest.mark.slow), pytest.param((2,), marks=pytest.mark.slow), (2, 1)], ids=str
)
def test_gradients_and_running_statistics_stay_bit_for_bit(spec: Spec, lengths: tuple[int, ...], bf16: bool) -> None:
    segments = {f"layer{stage}": lengths for stage, depth in enumerate(spec.depths, 1) if depth >= sum(lengths)}
    plain, again = step(spec, {}, bf16=bf16), step(spec, segments, bf16=bf16)
    assert segments
    assert plain.keys() == again.keys()
    for name, value in plain.items():
        assert torch.equal(again[name], value), name
    if spec.norm == "batch":
        assert int(again["bn1.num_batches_tracked" if not spec.preactivation else "bn.num_batches_tracked"]) == 2


def test_evaluation_recomputes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from resnets.nn import checkpointing

    network = create(BASIC).eval()
    network.recomputed = {"layer1": (4,)}
    monkeypatch.setattr(checkpointing, "checkpoint", None)
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
