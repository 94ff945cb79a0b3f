"""Localization: the class of each image, and the box of an object of it."""

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
from resnets.tasks.localization import answers, loss, metrics, network, report
from resnets.tasks.localization.answers import Guess
from resnets.tasks.localization.outputs import on_originals
from resnets.tasks.localization.settings import Localize
from resnets.tasks.plain import PlainTask
from resnets.tasks.regions import regions_of
from resnets.tasks.samples import SampleFacts
from resnets.tasks.sections import Chart, Headline, Section


@dataclass(frozen=True)
class Localization(PlainTask):
    """The task of naming what is on an image and finding it; see `Task` for the methods.

    Its outputs are (classes, 5) of each sample: the logit of each class, and left, top, right and bottom of its box in
    pixels of the original.

    Args:
        label_smoothing: of the loss of the class.
    """

    settings: Localize = field(default_factory=Localize)
    label_smoothing: float = 0.0

    def build(self, spec: Spec) -> nn.Module:
        return network.build(spec)

    def loss(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """As `Task.loss`: "class" and "box"; see `loss.losses`.

        Boxes are shares of the part that shows the image; one of which it shows nothing costs nothing.
        """
        outputs: Tensor = network(batch["inputs"])
        height, width = batch["inputs"].shape[2:]
        sides = outputs.new_tensor([width, height, width, height], dtype=torch.float32)
        regions = regions_of(batch["inputs"], batch.dense.get("regions")).to(sides) / sides
        start = regions[:, [0, 1, 0, 1]]
        scale = 1 / (regions[:, [2, 3, 2, 3]] - start)
        boxes = (outputs[:, :, 1:].float() - start[:, None]) * scale[:, None]
        true = [
            (each / sides - origin) * factor
            for each, origin, factor in zip(_single(batch, "boxes"), start, scale, strict=True)
        ]
        labels = torch.stack([each[0] for each in _single(batch, "labels")]).long()
        found = loss.losses(torch.cat([outputs[:, :, :1].float(), boxes], 2), labels, true, self.label_smoothing)
        shown = torch.stack([(each[:, 2:] > each[:, :2]).all(1).any() for each in true])
        return {"class": found["class"], "box": self.settings.box_weight * found["box"] * shown}

    def predict(self, network: Network, batch: Batch) -> Tensor:
        """(N, classes, 5); see `outputs.on_originals`."""
        return on_originals(network(batch["inputs"]).float(), batch)

    def to_mean(self, outputs: Sequence[Tensor]) -> list[Tensor]:
        """(classes, 5) of each sample: probabilities, and boxes in pixels."""
        means = (each.cpu().double() for each in outputs)  # some devices have no float64
        return [torch.cat([each[:, :1].softmax(0), each[:, 1:]], 1) for each in means]

    def from_mean(self, means: Sequence[Tensor]) -> list[Tensor]:
        return [torch.cat([each[:, :1].log(), each[:, 1:]], 1) for each in means]

    def evaluate_batch(self, outputs: Sequence[Tensor], batch: Batch, *, choose: bool = False) -> dict[str, Any]:
        """As `Task.evaluate_batch`: what `metrics.metrics` needs, and "sizes" (N, 2) height and width."""
        found = torch.stack(tuple(outputs)).cpu().double()
        labels = torch.stack([each[0] for each in _single(batch, "labels")]).long()
        true = _single(batch, "boxes")
        sizes = torch.stack([each.long() for each in batch.ragged["sizes"]])
        rows = torch.arange(len(labels))
        guesses = answers.ranked(found)[:, : metrics.GUESSES]
        sides = sizes[:, [1, 0, 1, 0]].double()
        shares = torch.cat([found[:, :, :1], found[:, :, 1:] / sides[:, None]], 2)
        parts = loss.losses(shares, labels, [each / own for each, own in zip(true, sides, strict=True)])
        return {
            "label": labels,
            "guesses": guesses,
            "boxes": found[rows[:, None], guesses, 1:],
            "given_boxes": found[rows, labels, 1:],
            "true_boxes": true,
            "sizes": sizes,
            "loss": parts["class"] + self.settings.box_weight * parts["box"],
        }

    def reorder(self, targets: Arrays, order: NDArray[Any]) -> Arrays:
        return {**targets, "labels": order[targets["labels"]]} if "labels" in targets else targets

    def choose(self, records: SampleRecords) -> tuple[Localization, SampleRecords]:
        return self, records

    def metrics(self, records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Any]:
        return metrics.metrics(records)

    def fitted(self, metrics: Mapping[str, Any]) -> Localize:
        return self.settings

    def headline(self, title: str, metrics: Mapping[str, Any], split: str) -> Headline:
        return report.headline(title, metrics, split)

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
        return report.sections(records, metrics, ids, classes)

    def columns(self, records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Sequence[Any]]:
        return report.columns(records, classes)

    def lines(self, metrics: Mapping[str, Any], split: str) -> list[str]:
        return report.lines(metrics, split)

    def answers(self, outputs: Sequence[Tensor], classes: tuple[str, ...], top: int) -> list[list[Guess]]:
        """Of each sample the `top` most probable classes: name, probability, and box in pixels."""
        return answers.answers(torch.stack(tuple(outputs)), classes, top)

    def answer_json(self, answer: list[Guess], classes: tuple[str, ...]) -> dict[str, Any]:
        return answers.answer_json(answer)

    def restore_answer(self, data: Mapping[str, Any], classes: tuple[str, ...]) -> list[Guess]:
        return answers.restored(data, classes)

    def answer_lines(self, answer: list[Guess], classes: tuple[str, ...]) -> list[str]:
        return answers.answer_lines(answer)

    def write_answer(
        self, answer: list[Guess], folder: Path, name: str, image: Any, classes: tuple[str, ...]
    ) -> dict[str, str]:
        """As `Task.write_answer`: `name`.drawn.jpg, the image with the box of its most probable class."""
        answers.write_answer(answer, folder, name, image, classes)
        return {}


def _single(batch: Batch, name: str) -> list[Tensor]:
    """`name` of the objects of each sample that are no groups."""
    return [values[~crowds.bool()] for values, crowds in zip(batch.ragged[name], batch.ragged["crowds"], strict=True)]
