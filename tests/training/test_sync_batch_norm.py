"""Batch norm over several ranks computes what torch's does, in float64 too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import nn

from resnets.training.sync_batch_norm import synchronize


@pytest.fixture
def one_rank() -> Iterator[dist.ProcessGroup]:
    store = dist.HashStore()  # type: ignore[attr-defined]
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    group = dist.group.WORLD
    assert group is not None
    yield group
    dist.destroy_process_group()


def test_outputs_gradients_and_statistics_in_float64_are_torchs(one_rank: dist.ProcessGroup) -> None:
    generator = torch.Generator().manual_seed(0)
    found, expected = nn.Sequential(nn.BatchNorm2d(3)).double(), nn.Sequential(nn.BatchNorm2d(3)).double()
    synchronize(found, one_rank)
    x = torch.randn(4, 3, 5, 5, dtype=torch.float64, generator=generator) * 3 + 1
    for network in (found, expected):
        network(x).pow(3).sum().backward()
    torch.testing.assert_close(found(x), expected(x), rtol=1e-12, atol=1e-12)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=1e-12, atol=1e-12)
    for own, theirs in zip(found.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(own.grad, theirs.grad, rtol=1e-10, atol=1e-10)
