"""What the training loop and the evaluation need of a task."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray
from torch import Tensor, nn

from resnets.models.spec import Spec

SampleRecords = dict[str, NDArray[Any]]  # arrays by name, each with one row a sample


class Task(Protocol):
    """Builds the network of a task and defines its loss, its records of each sample and its metrics."""

    @property
    def name(self) -> str:
        """The name that a model file has for the task, such as "classification"."""
        ...

    def build(self, spec: Spec) -> nn.Module:
        """A network on the CPU whose weights are not yet set."""
        ...

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """The loss of each sample of a training batch, (N,)."""
        ...

    def evaluate_batch(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """What is recorded of each sample of an evaluation batch, (N,) each."""
        ...

    def metrics(self, records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Any]:
        """The exact figures over the records of all samples, ready for JSON."""
        ...
