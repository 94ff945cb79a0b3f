"""What the training loop and the evaluation know of a task."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray
from torch import Tensor, nn

from resnets.models.spec import Spec

SampleRecords = dict[str, NDArray[Any]]  # one row a sample


class Task(Protocol):
    """Builds a model around a backbone, and knows its loss, its predictions and its metrics."""

    @property
    def name(self) -> str:
        """As in the model file."""
        ...

    def build(self, spec: Spec) -> nn.Module:
        """The model, its weights not yet set."""
        ...

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """The loss of each sample, (N,), for a training batch."""
        ...

    def evaluate_batch(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """What is kept of each sample in evaluation, (N,) each."""
        ...

    def metrics(self, records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Any]:
        """Exact figures from the records of all samples; JSON-ready."""
        ...
