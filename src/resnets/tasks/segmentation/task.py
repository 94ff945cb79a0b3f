"""Segmentation: one class for each pixel of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from resnets.modalities.base import Arrays
from resnets.modalities.batch import Batch
from resnets.modalities.image.read.mask import VOID
from resnets.models.spec import Spec
from resnets.tasks.base import Network, SampleRecords
from resnets.tasks.plain import PlainTask
from resnets.tasks.samples import SampleFacts
from resnets.tasks.sections import Chart, Headline, Section
from resnets.tasks.segmentation import answers, loss, metrics, network, report
from resnets.tasks.segmentation.answers import SegmentedImage
from resnets.tasks.segmentation.settings import Segment


class Segmentation(PlainTask):
    """The task of predicting the class of each pixel; see `Task` for the methods.

    Its outputs are a sequence with the logits of each sample, (classes, height, width) at the size of the original.

    Args:
        label_smoothing: probability that is spread evenly over all classes of each pixel in training, in [0, 1).
        class_weights: of each class in the loss of training. Evaluation uses none.
    """

    def __init__(
        self, settings: Segment, *, label_smoothing: float = 0.0, class_weights: tuple[float, ...] | None = None
    ) -> None:
        self.settings = settings
        self.label_smoothing = label_smoothing
        self.class_weights = class_weights

    def build(self, spec: Spec) -> nn.Module:
        return network.build(spec)

    def loss(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """As `Task.loss`: "pixels" and "auxiliary", sums over the pixels of each sample."""
        logits = cast(Any, network).all_logits(batch["inputs"])
        return loss.cross_entropy(
            logits,
            batch["masks"],
            auxiliary_weight=self.settings.auxiliary_weight,
            label_smoothing=self.label_smoothing,
            class_weights=self.class_weights,
        )

    def weight(self, batch: Batch) -> Tensor | None:
        """(N,) how many pixels of each sample count, or the weights of their classes."""
        masks, weights = batch["masks"], self.class_weights
        return loss.valid_pixels(masks) if weights is None else loss.pixel_weights(masks, weights)

    def predict(self, network: Network, batch: Batch) -> Any:
        logits = network(batch["inputs"]).float()
        mirrored, sizes = (batch[name].tolist() if name in batch else [None] * len(batch) for name in _PLACES)
        return [_upright(one, *place) for one, *place in zip(logits, mirrored, sizes, strict=True)]

    def to_mean(self, outputs: Any) -> Any:
        """The probabilities of each pixel, (classes, height, width) float64 on the CPU."""
        return [F.softmax(logits.cpu().double(), 0) for logits in outputs]

    def from_mean(self, means: Sequence[Tensor]) -> Any:
        return [mean.log() for mean in means]

    def evaluate_batch(self, outputs: Any, batch: Batch, *, choose: bool = False) -> dict[str, Tensor]:
        masks = batch["masks"].unbind() if "masks" in batch else batch.ragged["masks"]
        return metrics.evaluate_batch(outputs, masks)

    def reorder(self, targets: Arrays, order: NDArray[Any]) -> Arrays:
        table = np.full(256, VOID, np.uint8)
        table[: len(order)] = order
        return {**targets, "masks": table[targets["masks"]]} if "masks" in targets else targets

    def choose(self, records: SampleRecords) -> tuple[Segmentation, SampleRecords]:
        return self, records

    def metrics(self, records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Any]:
        return metrics.metrics(records, classes)

    def fitted(self, metrics: Mapping[str, Any]) -> Segment:
        return self.settings

    def headline(self, title: str, metrics: Mapping[str, Any], split: str) -> Headline:
        return report.headline(title, metrics, split)

    def error_chart(self, evaluations: Sequence[Mapping[str, Any]], split: str) -> Chart:
        return report.iou_chart(evaluations, split)

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
        """Mean IoU, the share of pixels that are right, and the mean loss of each image; empty where all is void."""
        pixels = records["pixels"]
        found = {
            "miou": metrics.iou_by_sample(records),
            "pixel_accuracy": records["intersection"].sum(1) / np.where(pixels > 0, pixels, np.nan),
            "loss": records["loss"] / np.where(pixels > 0, pixels, np.nan),
        }
        return {name: ["" if np.isnan(v) else v for v in values.tolist()] for name, values in found.items()}

    def lines(self, metrics: Mapping[str, Any], split: str) -> list[str]:
        return report.lines(metrics, split)

    def answers(self, outputs: Any, classes: tuple[str, ...], top: int) -> list[Any]:
        return [answers.answer(logits) for logits in outputs]

    def answer_json(self, answer: SegmentedImage, classes: tuple[str, ...]) -> dict[str, Any]:
        return answers.answer_json(answer, classes)

    def answer_extra(self, answer: SegmentedImage) -> dict[str, Any]:
        return answers.answer_extra(answer)

    def restore_answer(self, data: Mapping[str, Any], classes: tuple[str, ...]) -> SegmentedImage:
        return answers.restored(data, classes)

    def answer_lines(self, answer: SegmentedImage, classes: tuple[str, ...]) -> list[str]:
        return answers.answer_lines(answer, classes)

    def write_answer(
        self, answer: SegmentedImage, folder: Path, name: str, image: Any, classes: tuple[str, ...]
    ) -> dict[str, str]:
        return answers.write_answer(answer, folder, name, image)


_PLACES = ("mirrored", "sizes")


def _upright(logits: Tensor, mirrored: bool | None, size: list[int] | None) -> Tensor:
    """Logits (classes, h, w) turned back and at `size`, the height and width of the original."""
    turned = logits.flip(-1) if mirrored else logits
    if size is None or list(turned.shape[1:]) == size:
        return turned
    return F.interpolate(turned[None], size, mode="bilinear", align_corners=False)[0]
