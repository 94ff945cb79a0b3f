"""Detection: boxes of objects in each image, with a class and perhaps a mask each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnets.core.errors import UsageError
from resnets.modalities.base import Arrays, Dataset
from resnets.modalities.batch import Batch
from resnets.models.spec import Spec
from resnets.tasks.base import Network, SampleRecords
from resnets.tasks.detection import answers, coco, metrics, network, report
from resnets.tasks.detection.answers import DetectedImage
from resnets.tasks.detection.boxes import Limits
from resnets.tasks.detection.categories import categories
from resnets.tasks.detection.matching import match
from resnets.tasks.detection.merging import merged, stitched
from resnets.tasks.detection.network import Detector
from resnets.tasks.detection.outputs import answer_of, objects_of, on_input
from resnets.tasks.detection.settings import Detect
from resnets.tasks.detection.thresholds import best_thresholds
from resnets.tasks.plain import PlainTask
from resnets.tasks.records import ragged
from resnets.tasks.regions import Place, regions_of
from resnets.tasks.samples import SampleFacts
from resnets.tasks.sections import Chart, Headline, Section

MOST = 100  # boxes of an image that several answers are merged to: as many as COCO's metrics count


@dataclass(frozen=True)
class Detection(PlainTask):
    """The task of finding the objects in an image; see `Task` for the methods.

    Its outputs are a `DetectedImage` for each sample, in pixels of the original.
    """

    settings: Detect = field(default_factory=Detect)

    def build(self, spec: Spec) -> nn.Module:
        return network.build(spec)

    def loss(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """As `Task.loss`, by torchvision's names; see `Detector.losses`."""
        return cast(Detector, network).losses(batch["inputs"], objects_of(batch), batch.dense.get("regions"))

    def evaluation_loss(self, network: Network, batch: Batch) -> Tensor:
        """As `LossOfNetwork.evaluation_loss`: that of training, on the input of evaluation."""
        return torch.stack(tuple(self.loss(network, on_input(batch)).values())).sum(0)

    def predict(self, network: Network, batch: Batch) -> list[DetectedImage]:
        detector = cast(Detector, network)
        regions = regions_of(batch["inputs"], batch.dense.get("regions"))
        found = detector.detect(batch["inputs"], regions, limits=self._limits(detector))
        places = zip(regions.tolist(), batch["sizes"].tolist(), batch["mirrored"].tolist(), strict=True)
        return [
            answer_of(each, region, (size[0], size[1]), mirrored=mirrored)
            for each, (region, size, mirrored) in zip(found, places, strict=True)
        ]

    def _limits(self, detector: Detector) -> Limits:
        """Which detections are given: those of the head, but for what the settings say."""
        usual, settings = detector.limits, self.settings
        return Limits(
            usual.min_score if settings.min_score is None else settings.min_score,
            usual.nms,
            usual.max_boxes if settings.max_boxes is None else settings.max_boxes,
        )

    def to_mean(self, outputs: Any) -> Any:
        """Raises UsageError: boxes have no mean."""
        raise UsageError("Boxes cannot be averaged.")

    def from_mean(self, means: Sequence[Tensor]) -> Any:
        """Raises UsageError: boxes have no mean."""
        raise UsageError("Boxes cannot be averaged.")

    def merge(self, outputs: Sequence[DetectedImage]) -> DetectedImage:
        """As `Merges.merge`, by non-maximum suppression."""
        return merged(outputs, self.settings.max_boxes or MOST)

    def renumber(self, output: DetectedImage, order: Sequence[int]) -> DetectedImage:
        """As `Merges.renumber`."""
        return replace(output, labels=np.argsort(order)[output.labels])

    def join_tiles(self, found: Sequence[tuple[Place, DetectedImage]], size: tuple[int, int]) -> DetectedImage:
        """As `JoinsTiles.join_tiles`."""
        return stitched(found, size, self.settings.max_boxes)

    def evaluate_batch(self, outputs: list[DetectedImage], batch: Batch, *, choose: bool = False) -> dict[str, Any]:
        return metrics.evaluate_batch(outputs, batch.ragged)

    def reorder(self, targets: Arrays, order: NDArray[Any]) -> Arrays:
        return {**targets, "labels": order[targets["labels"]]} if "labels" in targets else targets

    def choose(self, records: SampleRecords) -> tuple[Detection, SampleRecords]:
        settings = self.settings
        if settings.thresholds is not None or settings.category_ids is None:
            return self, records
        thresholds = best_thresholds(match(records), len(settings.category_ids), settings.precision)
        return replace(self, settings=replace(settings, thresholds=thresholds, precision=None)), records

    def metrics(self, records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Any]:
        return metrics.metrics(records, classes, self.settings.thresholds)

    def fitted(self, metrics: Mapping[str, Any]) -> Detect:
        thresholds = tuple(each["threshold"] for each in metrics["classes"].values())
        return replace(self.settings, thresholds=thresholds, precision=None)

    def headline(self, title: str, metrics: Mapping[str, Any], split: str) -> Headline:
        return report.headline(title, metrics, split)

    def error_chart(self, evaluations: Sequence[Mapping[str, Any]], split: str) -> Chart:
        return report.ap_chart(evaluations, split)

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
        return report.columns(records, metrics.used(self.settings.thresholds, len(classes)))

    def record_files(
        self, records: SampleRecords, dataset: Dataset, ids: NDArray[Any], classes: tuple[str, ...]
    ) -> dict[str, Any]:
        """As `Task.record_files`: coco.json, the answers, and coco_truth.json, in COCO's formats."""
        named = categories(dataset, classes, self.settings.category_ids)
        names = [dataset.key(int(number)).decode(errors="surrogateescape") for number in ids]
        return {
            "coco.json": coco.results_json(records, list(named)),
            "coco_truth.json": coco.truth_json(records, named, names),
        }

    def lines(self, metrics: Mapping[str, Any], split: str) -> list[str]:
        return report.lines(metrics, split)

    def answers(self, outputs: list[DetectedImage], classes: tuple[str, ...], top: int) -> list[Any]:
        return outputs

    def answer_json(self, answer: DetectedImage, classes: tuple[str, ...]) -> dict[str, Any]:
        return answers.answer_json(answer, classes)

    def answer_extra(self, answer: DetectedImage) -> dict[str, Any]:
        return answers.answer_extra(answer)

    def restore_answer(self, data: Mapping[str, Any], classes: tuple[str, ...]) -> DetectedImage:
        return answers.restored(data, classes)

    def answer_lines(self, answer: DetectedImage, classes: tuple[str, ...]) -> list[str]:
        """The boxes from the thresholds on."""
        return answers.answer_lines(self._best(answer, classes), classes)

    def write_answer(
        self, answer: DetectedImage, folder: Path, name: str, image: Any, classes: tuple[str, ...]
    ) -> dict[str, str]:
        """As `Task.write_answer`: `name`.drawn.jpg, the image with the boxes from the thresholds on."""
        answers.write_answer(self._best(answer, classes), folder, name, image, classes)
        return {}

    def answer_files(self, answers: Sequence[tuple[str, Any]], classes: tuple[str, ...]) -> dict[str, Any]:
        """As `Task.answer_files`: coco.json, whose images are numbered from 1 and named."""
        found = [answer for _, answer in answers]
        records: SampleRecords = {
            "sizes": np.array([each.size for each in found], np.int64).reshape(-1, 2),
            **{name: ragged(getattr(each, name) for each in found) for name in ("boxes", "scores", "labels")},
        }
        if found and all(each.masks is not None for each in found):
            records["masks"] = ragged(each.masks for each in found)
        numbers = self.settings.category_ids or range(1, len(classes) + 1)
        results = coco.results_json(records, numbers)
        for each in results:
            each["file_name"] = answers[each["image_id"] - 1][0]
        return {"coco.json": results}

    def _best(self, answer: DetectedImage, classes: tuple[str, ...]) -> DetectedImage:
        return answers.best(answer, metrics.used(self.settings.thresholds, len(classes)))
