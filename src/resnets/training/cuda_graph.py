"""Whole training steps as one CUDA graph: their kernels run one after another with no Python in between."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from resnets.modalities.batch import Batch

Step = Callable[[Batch, Tensor, Tensor], Tensor]


def capture(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Captures `work` without running it; returns what runs it, from and into the same memory."""
    graph = torch.cuda.CUDAGraph()
    # Threads that load data may ask CUDA for memory meanwhile; only the thread that captures may not.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = work()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


class CUDAGraphStep:
    """A training step that first runs as it is, and is then captured as a CUDA graph and replayed.

    Args:
        step: takes a batch, the learning rate and the step's number, the last two as tensors (float32 and int64), since
            a graph would keep the values of plain numbers. It must change everything else in place.
        capture: turns work into its replay; `capture` but in tests.
        plain: calls before the capture; in the first ones, libraries choose their kernels and allocate memory.
    """

    def __init__(
        self,
        step: Step,
        device: torch.device,
        capture: Callable[[Callable[[], Tensor]], Callable[[], Tensor]] = capture,
        plain: int = 3,
    ) -> None:
        self.step = step
        self.capture = capture
        self.plain = plain
        self.rate = torch.zeros((), device=device)
        self.number = torch.zeros((), dtype=torch.int64, device=device)
        self.batch = Batch({})
        self.calls = 0
        self.replay: Callable[[], Tensor] | None = None

    def __call__(self, batch: Batch, rate: float, number: int) -> Tensor:
        if _shapes(batch) != _shapes(self.batch):
            self._begin(batch)
        for name, each in batch.dense.items():
            self.batch[name].copy_(each, non_blocking=True)
        self.rate.fill_(rate)
        self.number.fill_(number)
        if self.calls < self.plain:
            self.calls += 1
            return self._work()
        if self.replay is None:
            self.replay = self.capture(self._work)
        return self.replay().clone()  # the next replay overwrites it

    def _begin(self, batch: Batch) -> None:
        """Drops the graph, as the next calls have batches of this shape."""
        self.replay, self.calls = None, 0
        self.batch = Batch({name: torch.empty_like(each) for name, each in batch.dense.items()})

    def _work(self) -> Tensor:
        return self.step(self.batch, self.rate, self.number)


def _shapes(batch: Batch) -> dict[str, torch.Size]:
    return {name: each.shape for name, each in batch.dense.items()}
