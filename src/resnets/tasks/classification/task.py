"""Classification: one label for each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from resnets.core.renamed import renamed_fields
from resnets.models.spec import Spec
from resnets.tasks.base import SampleRecords
from resnets.tasks.classification import loss, metrics, network


@renamed_fields
@dataclass(frozen=True, kw_only=True)
class Classification:
    """The task of predicting one class for each image; see `Task` for the methods.

    Args:
        label_smoothing: probability that is spread evenly over all classes in training, in [0, 1) (Szegedy et al.
            2016, 1512.00567, section 7). Evaluation uses none.
    """

    label_smoothing: float = 0.0

    @property
    def name(self) -> str:
        return "classification"

    def build(self, spec: Spec) -> nn.Module:
        return network.build(spec)

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        return loss.cross_entropy(outputs, batch, self.label_smoothing)

    def evaluate_batch(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return metrics.evaluate_batch(outputs, labels)

    def metrics(self, records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Any]:
        return metrics.metrics(records, classes)
