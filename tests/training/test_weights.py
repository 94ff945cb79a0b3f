"""A task's weights divide the sum of the losses over the global batch, however that is divided."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.models.initialize import create
from resnets.training.distributed import Ranks
from tests.forked_ranks import on_ranks
from tests.training import weighted
from tests.training.weighted import SPEC, one_step, whole_batch


def expected(damaged: bool) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of the whole batch at once, sample by sample, in plain torch."""
    network, batch = create(SPEC, seed=1).double().train(), whole_batch(damaged)
    total, weights = torch.zeros((), dtype=torch.float64), 0
    for row in range(len(batch)):
        if damaged and not batch["weights"][row]:
            continue
        weight = int(batch["labels"][row]) + 1
        one = F.cross_entropy(network(batch["inputs"][row : row + 1]), batch["labels"][row : row + 1])
        total, weights = total + weight * (one + one**2 / 4), weights + weight
    loss = total / weights
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item(), {name: value.grad for name, value in network.named_parameters() if value.grad is not None}


def check(found: tuple[float, dict[str, Tensor]], damaged: bool) -> None:
    loss, gradients = expected(damaged)
    assert found[0] == pytest.approx(loss, rel=1e-6)  # it is added up in float32
    assert found[1].keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("bn_batch", [12, 6, 4, 3, 2])
def test_micro_batches_change_nothing(bn_batch: int, damaged: bool) -> None:
    loss, gradients = one_step(bn_batch, damaged, Ranks())
    check((float(loss), gradients), damaged)


@pytest.mark.parametrize(
    ("world", "bn_batches"), [(2, (12, 6, 3, 2)), pytest.param(3, (12, 4, 2), marks=pytest.mark.slow)]
)
def test_ranks_change_nothing(world: int, bn_batches: tuple[int, ...], tmp_path: Path) -> None:
    code, _, err = on_ranks(world, weighted.save_steps, tmp_path / "found.pt", bn_batches)
    assert code == 0, err
    found = torch.load(tmp_path / "found.pt")
    assert len(found) == 2 * len(bn_batches)
    for (_, damaged), result in found.items():
        check(result, damaged)
