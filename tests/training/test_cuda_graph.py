"""Captured steps. A CUDA graph does again what was launched, on the same memory, as the tape here does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import resnets
from resnets.core.errors import UsageError
from resnets.modalities.batch import Batch
from resnets.models.initialization import Initialization
from resnets.training.cuda_graph import CUDAGraphStep
from resnets.training.recipe import LAMB, SGD, AdamW, Muon
from resnets.training.schedules import OneCycle
from resnets.training.step import Training
from tests.training.test_loop import RECIPE, training_of

# What reads a number from the device, or brings one from the host, which no graph may do.
FORBIDDEN = {"aten::_local_scalar_dense", "aten::scalar_tensor", "aten::lift_fresh", "aten::nonzero"}
FORBIDDEN |= {"aten::masked_fill.Tensor", "aten::masked_fill_.Tensor"}  # on CUDA they read the value


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps every operation with the memory it reads and writes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert not {func.name(), func.name().partition(".")[0]} & FORBIDDEN, func
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, result in self.operations:
            for old, new in zip(tree_leaves(result), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, Tensor) and old.untyped_storage().data_ptr() != new.untyped_storage().data_ptr():
                    old.copy_(new)


def taped(training: Training) -> Callable[[Callable[[], Tensor]], Callable[[], Tensor]]:
    """The tape as `CUDAGraphStep` wants it: what is recorded is not done."""

    def everything() -> list[Tensor]:
        return [*training.state().values(), training.first_bad, training.skipped]

    def capture(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        before = [each.clone() for each in everything()]
        with Tape() as tape:
            result = work()
        with torch.no_grad():
            for each, value in zip(everything(), before, strict=True):
                each.copy_(value)

        def again() -> Tensor:
            tape.replay()
            return result

        return again

    return capture


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": AdamW(lr=0.25, weight_decay=0.5), "clip_norm": 0.5, "bn_batch": 16},
        {
            "optimizer": Muon(lr=0.125, momentum=0.5, vector_lr=0.25, classifier_lr=0.5),
            "initialization": Initialization(zero_init_last=True),
        },
        {"optimizer": LAMB(lr=0.125, weight_decay=0.5), "clip_norm": 1.0},
        {"model": replace(RECIPE.model, drop_path=0.5), "ema": 0.5, "bn_batch": 8, "nonfinite": "skip"},
    ],
    ids=["sgd", "adamw", "muon", "lamb", "draws"],
)
def test_replayed_steps_are_the_plain_ones(changes: dict[str, Any]) -> None:
    # All rates are multiples of a power of two, so that float32 has them as they are.
    recipe = replace(RECIPE, **{"optimizer": SGD(lr=0.5)} | changes, schedule=OneCycle(peak=0), steps=8)
    plain, batches = training_of(recipe)
    captured, _ = training_of(recipe)
    captured._graph_step = CUDAGraphStep(captured._update, captured.device, taped(captured), plain=2)
    losses = [(plain.step(batch), captured.step(batch)) for batch in batches.between(0, 8)]
    assert len({float(one) for one, _ in losses}) == 8
    assert [float(one) for one, _ in losses] == [float(other) for _, other in losses]
    for (name, value), other in zip(plain.state().items(), captured.state().values(), strict=True):
        assert torch.equal(value, other), name


@pytest.mark.parametrize(("nonfinite", "skipped"), [("stop", 0), ("skip", 1)])
def test_replayed_steps_are_guarded(nonfinite: Any, skipped: int) -> None:
    training, batches = training_of(replace(RECIPE, nonfinite=nonfinite))
    training._graph_step = CUDAGraphStep(training._update, training.device, taped(training), plain=1)
    for number in range(3):
        training.step(batches.make(number))
    before = {name: value.clone() for name, value in training.state().items()}
    broken = batches.make(3)
    training.step(broken | {"inputs": broken["inputs"].log()})
    after = training.state()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert {name.rpartition(".")[2] for name in moved} <= {"num_batches_tracked"}
    assert int(training.first_bad) == (3 if nonfinite == "stop" else -1)
    assert int(training.skipped) == skipped


def test_each_shape_is_captured_anew() -> None:
    captures: list[int] = []

    def capture(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        captures.append(1)
        return work

    step = CUDAGraphStep(
        lambda batch, rate, number: batch["x"].sum() * rate + number, torch.device("cpu"), capture, plain=1
    )
    values = [float(step(Batch({"x": torch.ones(size)}), 0.5, n)) for n, size in enumerate((2, 2, 2, 4, 4, 2, 2))]
    assert values == [1, 2, 3, 5, 6, 6, 7]
    assert len(captures) == 3


def test_capture_is_refused_where_it_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one CUDA device, not 1 of cpu"):
        resnets.train("digits", "cuda_graph=true", out=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="give cuda_graph or memory_limit"):
        replace(RECIPE, cuda_graph=True, memory_limit="2GiB")
