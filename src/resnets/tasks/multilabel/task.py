"""Multi-label classification: any number of classes for each sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnets.modalities.base import Arrays
from resnets.modalities.batch import Batch
from resnets.models.spec import Spec
from resnets.tasks.base import Network, SampleRecords
from resnets.tasks.captions import write_captioned
from resnets.tasks.multilabel import answers, loss, metrics, network, report
from resnets.tasks.multilabel.answers import ClassAnswer
from resnets.tasks.multilabel.settings import THRESHOLD, MultiLabel
from resnets.tasks.plain import PlainTask
from resnets.tasks.samples import SampleFacts
from resnets.tasks.sections import Chart, Headline, Section

_LOGITS = -745.0, 37.0  # beyond them, probabilities in float64 are 0 or 1


@dataclass(frozen=True)
class MultiLabelClassification(PlainTask):
    """The task of predicting which of the classes a sample has; see `Task` for the methods.

    Args:
        label_smoothing: in [0, 1); see `loss.binary_cross_entropy`. Evaluation uses none.
        positive_weights: of the positive labels of each class in the loss of training. Evaluation uses none.
    """

    settings: MultiLabel = field(default_factory=MultiLabel)
    label_smoothing: float = field(default=0.0, kw_only=True)
    positive_weights: tuple[float, ...] | None = field(default=None, kw_only=True)

    def build(self, spec: Spec) -> nn.Module:
        return network.build(spec)

    def loss(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        logits = network(batch["inputs"])
        value = loss.binary_cross_entropy(logits, batch, self.label_smoothing, self.positive_weights)
        return {"binary_cross_entropy": value}

    def predict(self, network: Network, batch: Batch) -> Tensor:
        """Logits, (N, classes)."""
        logits: Tensor = network(batch["inputs"])
        return logits

    def to_mean(self, outputs: Tensor) -> Tensor:
        """Probabilities, (N, classes)."""
        return metrics.probabilities(outputs).cpu()

    def from_mean(self, means: Sequence[Tensor]) -> Tensor:
        """Logits, (N, classes) float64; finite for probabilities of 0 and 1, whose loss would be NaN."""
        return torch.logit(torch.stack(tuple(means))).clamp(*_LOGITS)

    def evaluate_batch(self, outputs: Tensor, batch: Batch, *, choose: bool = False) -> dict[str, Tensor]:
        return metrics.evaluate_batch(outputs, batch["labels"].to(outputs.device))

    def reorder(self, targets: Arrays, order: NDArray[Any]) -> Arrays:
        """Labels (..., K), a column for each of the model's classes up to the last that the data has."""
        labels = targets["labels"]
        moved = np.zeros((*labels.shape[:-1], int(order.max(initial=-1)) + 1), labels.dtype)
        moved[..., order] = labels
        return {**targets, "labels": moved}

    def choose(self, records: SampleRecords) -> tuple[MultiLabelClassification, SampleRecords]:
        if self.settings.thresholds is not None:
            return self, records
        return replace(self, settings=replace(self.settings, thresholds=metrics.best_thresholds(records))), records

    def metrics(self, records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Any]:
        return metrics.metrics(records, classes, self.settings.thresholds)

    def fitted(self, metrics: Mapping[str, Any]) -> MultiLabel:
        return replace(self.settings, thresholds=tuple(each["threshold"] for each in metrics["classes"].values()))

    def headline(self, title: str, metrics: Mapping[str, Any], split: str) -> Headline:
        return report.headline(title, metrics, split)

    def error_chart(self, evaluations: Sequence[Mapping[str, Any]], split: str) -> Chart:
        return report.map_chart(evaluations, split)

    def sections(
        self,
        records: SampleRecords,
        metrics: Mapping[str, Any],
        ids: NDArray[Any],
        classes: tuple[str, ...],
        facts: SampleFacts | None = None,
    ) -> tuple[Section, ...]:
        return report.sections(records, metrics, ids, classes)

    def columns(self, records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Sequence[Any]]:
        return answers.columns(records, classes, self.settings.thresholds or [THRESHOLD] * len(classes))

    def lines(self, metrics: Mapping[str, Any], split: str) -> list[str]:
        return report.lines(metrics, split)

    def answers(self, outputs: Tensor, classes: tuple[str, ...], top: int) -> list[list[ClassAnswer]]:
        """All classes, the most probable first, whatever `top` is."""
        return answers.answers(outputs, classes, self.settings.thresholds)

    def answer_json(self, answer: list[ClassAnswer], classes: tuple[str, ...]) -> dict[str, Any]:
        return answers.answer_json(answer)

    def restore_answer(self, data: Mapping[str, Any], classes: tuple[str, ...]) -> list[ClassAnswer]:
        return answers.restored(data, classes)

    def answer_lines(self, answer: list[ClassAnswer], classes: tuple[str, ...]) -> list[str]:
        return answers.answer_lines(answer)

    def write_answer(
        self, answer: Any, folder: Path, name: str, image: Any, classes: tuple[str, ...]
    ) -> dict[str, str]:
        """As `Task.write_answer`: `name`.drawn.jpg, the image with the answer below it."""
        if image is not None:
            write_captioned(folder / f"{name}.drawn.jpg", image, self.answer_lines(answer, classes))
        return {}
