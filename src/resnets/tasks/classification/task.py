"""Classification: one label for each sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from resnets.core.renamed import renamed_fields
from resnets.modalities.base import Arrays
from resnets.modalities.batch import Batch
from resnets.models.spec import Spec
from resnets.tasks.base import Network, SampleRecords
from resnets.tasks.captions import write_captioned
from resnets.tasks.classification import loss, metrics, network, report
from resnets.tasks.classification.answers import Ranking, as_json, lines, rankings, restored
from resnets.tasks.classification.confidence import threshold_for
from resnets.tasks.classification.settings import Classify
from resnets.tasks.classification.temperature import fit_temperature
from resnets.tasks.classification.verdict import verdict
from resnets.tasks.classification.withheld import remarks
from resnets.tasks.plain import PlainTask
from resnets.tasks.samples import SampleFacts
from resnets.tasks.sections import Chart, Headline, Paragraph, Section


@renamed_fields
@dataclass(frozen=True, kw_only=True)
class Classification(PlainTask):
    """The task of predicting one class for each sample; see `Task` for the methods.

    Args:
        label_smoothing: probability that is spread evenly over all classes in training, in [0, 1) (Szegedy et al.
            2016, 1512.00567, section 7). Evaluation uses none.
        class_weights: of each class in the loss of training; see `loss.cross_entropy`. Binary cross-entropy weighs
            each sample by its class. Evaluation uses none.
    """

    settings: Classify = field(default_factory=Classify)
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None

    def build(self, spec: Spec) -> nn.Module:
        return network.build(spec)

    def loss(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        logits, settings = network(batch["inputs"]), self.settings
        smoothing, class_weights = self.label_smoothing, self.class_weights
        match settings.loss:
            case "binary_cross_entropy":
                value = loss.binary_cross_entropy(logits, batch, smoothing, settings.target_threshold)
                weights = self.weight(batch)
                value = value if weights is None else value * weights
            case "cross_entropy":
                value = loss.cross_entropy(logits, batch, smoothing, class_weights)
            case for_wrong_labels:
                value = loss.loss_for_wrong_labels(logits, batch, for_wrong_labels, smoothing, class_weights)
        return {"loss": value}

    def weight(self, batch: Batch) -> Tensor | None:
        """(N,) the weight of each sample's class; None without weights of classes."""
        return None if self.class_weights is None else loss.sample_weights(batch, self.class_weights)

    def predict(self, network: Network, batch: Batch) -> Tensor:
        """(N, classes) logits."""
        outputs: Tensor = network(batch["inputs"])
        return outputs

    def to_mean(self, outputs: Tensor) -> Tensor:
        """(N, classes) probabilities."""
        return F.softmax(outputs.cpu().double(), 1)

    def from_mean(self, means: Sequence[Tensor]) -> Tensor:
        """(N, classes) logarithms of probabilities."""
        return torch.stack(list(means)).log()

    def evaluate_batch(self, outputs: Tensor, batch: Batch, *, choose: bool = False) -> dict[str, Tensor]:
        labels = batch["labels"].to(outputs.device)
        return metrics.evaluate_batch(outputs, labels, self.settings.temperature, choose=choose)

    def reorder(self, targets: Arrays, order: NDArray[Any]) -> Arrays:
        return {name: order[values] if name == "labels" else values for name, values in targets.items()}

    def choose(self, records: SampleRecords) -> tuple[Classification, SampleRecords]:
        settings = self.settings
        logits, label, predicted = (records[name] for name in ("logits", "label", "predicted"))
        if settings.temperature is None:
            settings = replace(settings, temperature=fit_temperature(logits, label))
            found = metrics.confidences(torch.from_numpy(logits), torch.from_numpy(predicted), settings.temperature)
            records = records | {name: values.numpy() for name, values in found.items()}
        if settings.unknown_below is None and settings.answered_accuracy is not None:
            below = threshold_for(label == predicted, records["confidence"], settings.answered_accuracy)
            settings = replace(settings, unknown_below=1.0 if below is None else below)
        records = {name: values for name, values in records.items() if name != "logits"}
        return replace(self, settings=settings), records

    def metrics(self, records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Any]:
        return metrics.metrics(records, classes, self.settings)

    def fitted(self, metrics: Mapping[str, Any]) -> Classify:
        """As `Task.fitted`, without the loss, which is of training alone."""
        chosen = {name: metrics.get(name, getattr(self.settings, name)) for name in ("temperature", "unknown_below")}
        return replace(self.settings, loss="cross_entropy", target_threshold=None, **chosen)

    def headline(self, title: str, metrics: Mapping[str, Any], split: str) -> Headline:
        return report.headline(title, metrics, split)

    def verdict(
        self,
        records: SampleRecords,
        metrics: Mapping[str, Any],
        classes: tuple[str, ...],
        history: Sequence[Mapping[str, Any]],
    ) -> Paragraph | None:
        return verdict(records, metrics, classes, history)

    def error_chart(self, evaluations: Sequence[Mapping[str, Any]], split: str) -> Chart:
        return report.error_chart(evaluations, split)

    def sections(
        self,
        records: SampleRecords,
        metrics: Mapping[str, Any],
        ids: NDArray[Any],
        classes: tuple[str, ...],
        facts: SampleFacts | None = None,
    ) -> tuple[Section, ...]:
        return report.sections(records, metrics, ids, classes, facts)

    def remarks(self, records: SampleRecords, metrics: Mapping[str, Any], split: str) -> tuple[str, ...]:
        return remarks(records, metrics, self.settings, split)

    def columns(self, records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Sequence[Any]]:
        return report.columns(records, classes, self.settings.unknown_below)

    def lines(self, metrics: Mapping[str, Any], split: str) -> list[str]:
        return report.lines(metrics, split)

    def answers(self, outputs: Tensor, classes: tuple[str, ...], top: int) -> list[Ranking]:
        return rankings(outputs, classes, top, self.settings.temperature)

    def answer_json(self, answer: Ranking, classes: tuple[str, ...]) -> dict[str, Any]:
        return as_json(answer, self.settings.unknown_below)

    def restore_answer(self, data: Mapping[str, Any], classes: tuple[str, ...]) -> Ranking:
        return restored(data, classes)

    def answer_lines(self, answer: Ranking, classes: tuple[str, ...]) -> list[str]:
        return lines(answer, self.settings.unknown_below)

    def write_answer(
        self, answer: Ranking, folder: Path, name: str, image: Any, classes: tuple[str, ...]
    ) -> dict[str, str]:
        """As `Task.write_answer`: `name`.drawn.jpg, the image with the answer below it."""
        if image is not None:
            write_captioned(folder / f"{name}.drawn.jpg", image, self.answer_lines(answer, classes))
        return {}
