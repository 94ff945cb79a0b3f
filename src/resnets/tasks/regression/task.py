"""Regression: a number for each sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnets.modalities.base import Arrays
from resnets.modalities.batch import Batch
from resnets.models.spec import Spec
from resnets.tasks.base import Network, SampleRecords
from resnets.tasks.captions import write_captioned
from resnets.tasks.plain import PlainTask
from resnets.tasks.regression import answers, loss, metrics, network, report
from resnets.tasks.regression.settings import Regress
from resnets.tasks.samples import SampleFacts
from resnets.tasks.sections import Chart, Headline, Section


@dataclass(frozen=True)
class Regression(PlainTask):
    """The task of predicting a number for each sample; see `Task` for the methods."""

    settings: Regress = field(default_factory=Regress)

    def build(self, spec: Spec) -> nn.Module:
        return network.build(spec)

    def loss(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        return {self.settings.loss: loss.of_batch(network(batch["inputs"]), batch, self.settings)}

    def predict(self, network: Network, batch: Batch) -> Tensor:
        """(N, 1), in standard deviations from the mean."""
        outputs: Tensor = network(batch["inputs"])
        return outputs

    def to_mean(self, outputs: Tensor) -> Tensor:
        """(N, 1), in the units of the target: networks of an ensemble may have been trained on others' mean and std."""
        return metrics.predictions(outputs, self.settings)[:, None].cpu()

    def from_mean(self, means: Sequence[Tensor]) -> Tensor:
        """(N, 1) float64, in standard deviations from the mean."""
        return (torch.stack(tuple(means)) - (self.settings.mean or 0.0)) / (self.settings.std or 1.0)

    def evaluate_batch(self, outputs: Tensor, batch: Batch, *, choose: bool = False) -> dict[str, Tensor]:
        return metrics.evaluate_batch(outputs, batch["target"].to(outputs.device), self.settings)

    def reorder(self, targets: Arrays, order: NDArray[Any]) -> Arrays:
        return targets

    def choose(self, records: SampleRecords) -> tuple[Regression, SampleRecords]:
        return self, records

    def metrics(self, records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Any]:
        return metrics.metrics(records)

    def fitted(self, metrics: Mapping[str, Any]) -> Regress:
        return self.settings

    def headline(self, title: str, metrics: Mapping[str, Any], split: str) -> Headline:
        return report.headline(title, metrics, split)

    def error_chart(self, evaluations: Sequence[Mapping[str, Any]], split: str) -> Chart:
        return report.mae_chart(evaluations, split)

    def sections(
        self,
        records: SampleRecords,
        metrics: Mapping[str, Any],
        ids: NDArray[Any],
        classes: tuple[str, ...],
        facts: SampleFacts | None = None,
    ) -> tuple[Section, ...]:
        return report.sections(records, metrics, ids)

    def columns(self, records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Sequence[Any]]:
        return answers.columns(records)

    def lines(self, metrics: Mapping[str, Any], split: str) -> list[str]:
        return report.lines(metrics, split)

    def answers(self, outputs: Tensor, classes: tuple[str, ...], top: int) -> list[float]:
        """The number for each sample, in the units of the target."""
        return answers.answers(outputs, self.settings)

    def answer_json(self, answer: float, classes: tuple[str, ...]) -> dict[str, Any]:
        return answers.answer_json(answer)

    def restore_answer(self, data: Mapping[str, Any], classes: tuple[str, ...]) -> float:
        return answers.restored(data)

    def answer_lines(self, answer: float, classes: tuple[str, ...]) -> list[str]:
        return answers.answer_lines(answer)

    def write_answer(
        self, answer: Any, folder: Path, name: str, image: Any, classes: tuple[str, ...]
    ) -> dict[str, str]:
        """As `Task.write_answer`: `name`.drawn.jpg, the image with the answer below it."""
        if image is not None:
            write_captioned(folder / f"{name}.drawn.jpg", image, self.answer_lines(answer, classes))
        return {}
