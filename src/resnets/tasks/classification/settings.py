"""The settings of classification."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.models.heads import LinearHead
from resnets.models.spec import Spec
from resnets.tasks.base import Metric

if TYPE_CHECKING:
    from resnets.modalities.base import Dataset, DatasetSplits


@dataclass(frozen=True, kw_only=True)
@checked
class Classify:
    """One of several classes for each sample. (Label smoothing is a setting of the recipe.)"""

    name: ClassVar[str] = "classification"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "max"),
        Metric("top5", "max"),
        Metric("loss", "min", percent=False),
        Metric("balanced_accuracy", "max"),
        Metric("macro_f1", "max"),
    )
    targets: ClassVar[tuple[str, ...]] = ("labels",)
    fixed: ClassVar[bool] = True
    averages: ClassVar[bool] = True

    def model_for(self, spec: Spec, classes: int) -> Spec:
        if not isinstance(spec.head, LinearHead):
            raise UsageError(f"A classifier needs a linear head, and this model has {type(spec.head).__name__}.")
        return replace(spec, classes=classes)

    def adapt(self, splits: DatasetSplits) -> DatasetSplits:
        return splits

    def for_other_classes(self) -> Classify:
        return self

    def for_data(self, dataset: Dataset) -> Classify:
        return self
