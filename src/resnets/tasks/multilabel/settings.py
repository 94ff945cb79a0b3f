"""The settings of multi-label classification."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.models.heads import LinearHead
from resnets.models.spec import Spec
from resnets.tasks.metric import Metric

if TYPE_CHECKING:
    from resnets.modalities.base import Dataset, DatasetSplits

THRESHOLD = 0.5  # of each class, where none was chosen


@dataclass(frozen=True, kw_only=True)
@checked
class MultiLabel:
    """Any number of classes for each sample, each decided by itself. (Label smoothing is a setting of the recipe.)

    Args:
        thresholds: for each class, the lowest probability in [0, 1] at which it is part of the answer. None has them
            chosen on `val`, and is 0.5 without it.
    """

    thresholds: tuple[float, ...] | None = None

    name: ClassVar[str] = "multi-label"
    reads: ClassVar[str] = "multi-label"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("map", "max"),
        Metric("micro_f1", "max"),
        Metric("macro_f1", "max"),
        Metric("loss", "min", percent=False),
    )
    targets: ClassVar[tuple[str, ...]] = ("labels",)
    fixed: ClassVar[bool] = True
    single_label: ClassVar[bool] = False
    needs_val: ClassVar[str | None] = None
    canvas_targets: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if wrong := [each for each in self.thresholds or () if not 0 <= each <= 1]:
            raise UsageError(f"thresholds are probabilities from 0 to 1, not {wrong[0]}.")

    def model_for(self, spec: Spec, classes: int) -> Spec:
        if not isinstance(spec.head, LinearHead):
            raise UsageError(f"Multi-label needs a linear head, and this model has {type(spec.head).__name__}.")
        if self.thresholds is not None and len(self.thresholds) != classes:
            raise UsageError(f"task.thresholds has {len(self.thresholds)} values, and the data {classes} classes.")
        return replace(spec, classes=classes)

    def adapt(self, splits: DatasetSplits) -> DatasetSplits:
        return splits

    def for_other_classes(self) -> MultiLabel:
        return replace(self, thresholds=None)

    def for_ensemble(self) -> MultiLabel:
        return replace(self, thresholds=None)

    def for_data(self, dataset: Dataset) -> MultiLabel:
        return self
