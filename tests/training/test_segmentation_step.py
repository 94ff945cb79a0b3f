"""However a batch is divided among micro-batches and ranks, loss and gradients are those of the whole, though its
samples have different numbers of pixels that count."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.nn.shapes import Norm
from resnets.nn.stochastic import set_rng_keys
from resnets.training.distributed import Ranks
from tests.forked_ranks import on_ranks
from tests.training.segmentation_step import BATCH, batch, save_step, step, training_of

TOLERANCE = 1e-10


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (found[name] - value).abs().max() <= TOLERANCE * value.abs().max(), name


def step_of(world: int, tmp_path: Path, norm: Norm, bn_batch: int) -> dict[str, Tensor]:
    file = tmp_path / "found.pt"
    code, _, err = on_ranks(world, save_step, file, norm, bn_batch)
    assert code == 0, err
    found: dict[str, Tensor] = torch.load(file, weights_only=True)
    return found


def test_one_batch_is_torchs_mean_over_all_pixels_that_count() -> None:
    training = training_of(Ranks(), "frozen", None)
    keyed = training.with_rng_keys(batch())
    set_rng_keys(training.network, keyed["keys"])
    training.network.train()
    logits = training.network.all_logits(keyed["inputs"])  # type: ignore[operator]
    masks = keyed["masks"].long()
    expected = F.cross_entropy(logits["out"], masks, ignore_index=255)
    expected = expected + 0.4 * F.cross_entropy(logits["aux"], masks, ignore_index=255)
    expected.backward()  # type: ignore[no-untyped-call]
    by_hand = {name: p.grad for name, p in training.network.named_parameters() if p.grad is not None}
    assert_equal(step(Ranks(), "frozen", None), {"loss": expected.detach(), **by_hand})


@pytest.mark.parametrize("bn_batch", [1, 2, 3])
def test_micro_batches_change_nothing(bn_batch: int) -> None:
    assert_equal(step(Ranks(), "frozen", bn_batch), step(Ranks(), "frozen", BATCH))


@pytest.mark.parametrize("world", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_ranks_change_nothing(world: int, tmp_path: Path) -> None:
    assert_equal(step_of(world, tmp_path, "frozen", 1), step(Ranks(), "frozen", BATCH))


@pytest.mark.parametrize("world", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_with_batch_norm_they_change_nothing_at_unchanged_ghost_batches(world: int, tmp_path: Path) -> None:
    assert_equal(step_of(world, tmp_path, "batch", 2), step(Ranks(), "batch", 2))
