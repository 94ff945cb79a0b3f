"""The settings of detection."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from resnets.core.errors import DataError, UsageError
from resnets.core.typed import checked
from resnets.models.box_heads import BoxHead, FasterRCNNHead
from resnets.models.heads import LinearHead
from resnets.models.spec import Spec
from resnets.models.with_heads import detector
from resnets.tasks.metric import Metric

if TYPE_CHECKING:
    from resnets.modalities.base import Dataset, DatasetSplits


@dataclass(frozen=True, kw_only=True)
@checked
class Detect:
    """Boxes of objects, and their classes.

    Args:
        masks: whether the mask of each object is learnt too, which takes data with masks and a head that has them
            (Mask R-CNN).
        thresholds: for each class, the score from 0 to 1 from which its boxes are drawn and counted as answers. None
            has them chosen on `val`, and is 0.5 without it.
        precision: the share of right answers that the thresholds are chosen to reach, at an IoU of 0.5; None chooses
            the best F1.
        min_score, max_boxes: boxes with a lower score are no answers, and an image has at most so many; None takes
            those of the model's head.
        category_ids: what the training data calls each class, such as COCO's numbers, for `coco.json`; the data sets
            them.
    """

    masks: bool = False
    thresholds: tuple[float, ...] | None = None
    precision: float | None = None
    min_score: float | None = None
    max_boxes: int | None = None
    category_ids: tuple[int, ...] | None = None

    name: ClassVar[str] = "detection"
    reads: ClassVar[str] = "detection"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("ap", "max"),
        Metric("ap50", "max"),
        Metric("ap75", "max"),
        Metric("voc07_ap50", "max"),
        Metric("voc12_ap50", "max"),
        Metric("mask_ap", "max", needs="masks"),
        Metric("loss", "min", percent=False),
    )
    targets: ClassVar[tuple[str, ...]] = ("boxes", "labels")
    fixed: ClassVar[bool] = False
    single_label: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if wrong := [each for each in self.thresholds or () if not 0 <= each <= 1]:
            raise UsageError(f"thresholds are scores from 0 to 1, not {wrong[0]}.")
        if self.precision is not None and not 0 < self.precision <= 1:
            raise UsageError(f"precision is above 0 and at most 1, such as 0.9, not {self.precision}.")
        if self.precision is not None and self.thresholds is not None:
            raise UsageError("Give task.thresholds, or task.precision by which they are chosen, not both.")
        if self.min_score is not None and not 0 <= self.min_score < 1:
            raise UsageError(f"min_score is a score from 0 to below 1, not {self.min_score}.")
        if self.max_boxes is not None and self.max_boxes < 1:
            raise UsageError(f"max_boxes must be 1 or more, not {self.max_boxes}.")

    @property
    def canvas_targets(self) -> tuple[str, ...]:
        return ("instances",) if self.masks else ("boxes", "instances")

    @property
    def needs_val(self) -> str | None:
        return None if self.precision is None else "task.precision"

    def model_for(self, spec: Spec, classes: int) -> Spec:
        """`spec` as it is where it has a `BoxHead`; else with a `FasterRCNNHead`, and with batch norm frozen.

        Raises:
            UsageError: the network has no images as inputs, another head, or masks where the task has none.
        """
        if spec.dimensions != 2:
            raise UsageError(f"Detection needs a network of images, and this one has {spec.dimensions} dimensions.")
        if self.thresholds is not None and len(self.thresholds) != classes:
            raise UsageError(f"task.thresholds has {len(self.thresholds)} values, and the data {classes} classes.")
        if isinstance(spec.head, LinearHead):
            spec = detector(FasterRCNNHead(masks=self.masks), spec)
        head = spec.head
        if not isinstance(head, BoxHead):
            raise UsageError(f"Detection needs a head for boxes, and this model has {type(head).__name__}.")
        if head.masks != self.masks:
            raise UsageError(
                f"The model's head {'has' if head.masks else 'has no'} masks: give "
                f"task.masks={str(head.masks).lower()}, or another --model."
            )
        return replace(spec, classes=classes)

    def adapt(self, splits: DatasetSplits) -> DatasetSplits:
        """The data with the masks of its objects, where they are learnt.

        Raises:
            DataError: it has none.
        """
        return splits.changed(_masked) if self.masks else splits

    def for_other_classes(self) -> Detect:
        return replace(self, thresholds=None, category_ids=None)

    def for_ensemble(self) -> Detect:
        return replace(self, thresholds=None)

    def for_data(self, dataset: Dataset) -> Detect:
        """The settings with what the data calls its classes."""
        from resnets.tasks.detection.categories import category_ids

        return replace(self, category_ids=category_ids(dataset))


def _masked(dataset: Dataset) -> Dataset:
    masked = getattr(dataset, "masked", None)
    if masked is None:
        raise DataError(f"task.masks=true needs data with masks of objects, and this is for {dataset.task}.")
    adapted: Dataset = masked()
    return adapted
