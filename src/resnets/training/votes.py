"""Votes: what any rank asks for reaches all ranks at the same step, without waiting for a device."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from resnets.training.distributed import Ranks


class Votes:
    """A vote after every step, whose result is read after the next one: yes or no, or a number of one of the ranks.

    It is sent from host to host while the next step is computed, so that nothing waits for it or for the device. Every
    rank reads the same result after the same step. With one rank, the result is its own vote, at once.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self._pending: tuple[dist.Work, Tensor] | None = None

    def result(self, *own: int) -> tuple[int, ...]:
        """Returns for each question the sum of the ranks' votes after the step before: above 0 if any voted for it.

        Args:
            own: this rank's present votes, which it sends to the others with `cast`.

        Raises:
            TrainingError: a rank is dead.
        """
        if self.ranks.world == 1:
            return own
        if self._pending is None:
            return (0,) * len(own)
        work, counts = self._pending
        self._pending = None
        with self.ranks.collective_errors():
            work.wait()
        return tuple(counts.tolist())

    def cast(self, *own: int) -> None:
        """Sends this rank's votes after this step. All ranks must do so after the same steps."""
        if self.ranks.world == 1:
            return
        counts = torch.tensor(own, dtype=torch.int64)
        with self.ranks.collective_errors():
            work = dist.all_reduce(counts, group=self.ranks.hosts, async_op=True)
        assert work is not None
        self._pending = work, counts
