"""What any rank wants, by votes whose result is read a step later."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from resnets.core.errors import UsageError
from resnets.training.distributed import Ranks, process_group
from resnets.training.votes import Votes


class Work:
    def __init__(self, counts: Tensor, others: Tensor) -> None:
        self.counts, self.others = counts, others

    def wait(self) -> None:
        self.counts += self.others


def test_one_process_has_its_own_vote_at_once() -> None:
    votes = Votes(Ranks())
    assert votes.result(True, False) == (True, False)
    votes.cast(True, True)
    assert votes.result(False, False) == (False, False)


def test_a_vote_is_between_hosts_and_read_one_step_later(monkeypatch: pytest.MonkeyPatch) -> None:
    others = iter([[0, 1], [0, 0]])
    hosts = object()

    def all_reduce(counts: Tensor, group: Any, async_op: bool) -> Work:
        assert counts.device.type == "cpu"
        assert group is hosts
        assert async_op
        return Work(counts, torch.tensor(next(others)))

    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    votes = Votes(Ranks(rank=1, world=2, hosts=hosts))
    assert votes.result(True, True) == (False, False)  # no step was done
    votes.cast(True, False)
    assert votes.result(False, False) == (True, True)
    votes.cast(False, False)
    assert votes.result(True, True) == (False, False)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e30, float("nan")])
def test_a_timeout_out_of_range_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="rank_timeout takes 1 to 86,400 seconds"), process_group("cpu", seconds):
        pass


def test_several_ranks_compute_on_cuda_or_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="not on mps: choose device cpu"), process_group("mps"):
        pass
