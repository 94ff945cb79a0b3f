"""Whole training steps as one CUDA graph: their kernels follow each other with no Python between them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[dict[str, Tensor], Tensor, Tensor], Tensor]


def cuda_graph(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """What does `work` again, from and into the same memory; `work` itself is not done."""
    graph = torch.cuda.CUDAGraph()
    # Loading threads meanwhile ask CUDA for memory, which only the thread that captures may not.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = work()

    def again() -> Tensor:
        graph.replay()
        return result

    return again


class CUDAGraphStep:
    """A step that is done as it is written at first, and then captured and replayed.

    Args:
        step: of a batch, the learning rate and its own number, the last two as tensors (float32 and int64): a graph
            would keep plain numbers as they were. Whatever else changes from call to call it changes in place.
        capture: such as `cuda_graph`.
        plain: so many calls come before the capture: in their first ones, libraries choose their kernels and ask for
            memory.
    """

    def __init__(
        self,
        step: Step,
        device: torch.device,
        capture: Callable[[Callable[[], Tensor]], Callable[[], Tensor]] = cuda_graph,
        plain: int = 3,
    ) -> None:
        self.step = step
        self.cuda_graph = capture
        self.plain = plain
        self.rate = torch.zeros((), device=device)
        self.number = torch.zeros((), dtype=torch.int64, device=device)
        self.batch: dict[str, Tensor] = {}
        self.calls = 0
        self.replay: Callable[[], Tensor] | None = None

    def __call__(self, batch: dict[str, Tensor], rate: float, number: int) -> Tensor:
        if _shapes(batch) != _shapes(self.batch):
            self._begin(batch)
        for name, each in batch.items():
            self.batch[name].copy_(each, non_blocking=True)
        self.rate.fill_(rate)
        self.number.fill_(number)
        if self.calls < self.plain:
            self.calls += 1
            return self._work()
        if self.replay is None:
            self.replay = self.cuda_graph(self._work)
        return self.replay().clone()  # the next replay writes over it

    def _begin(self, batch: dict[str, Tensor]) -> None:
        """Forgets the graph; the next calls have batches of this shape."""
        self.replay, self.calls = None, 0
        self.batch = {name: torch.empty_like(each) for name, each in batch.items()}

    def _work(self) -> Tensor:
        return self.step(self.batch, self.rate, self.number)


def _shapes(batch: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: each.shape for name, each in batch.items()}
