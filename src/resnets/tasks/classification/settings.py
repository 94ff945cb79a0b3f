"""The settings of classification."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from resnets.core.config import OMITTED_BY_DEFAULT
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
    """One of several classes for each sample. (Label smoothing is a setting of the recipe.)

    Args:
        loss: of training: cross-entropy, or binary cross-entropy of each class for itself, the mean over the classes
            (Wightman et al. 2021, 2110.00476, section 2). Evaluation has cross-entropy either way.
        target_threshold: for binary cross-entropy, the value above which a target, smoothed and mixed, becomes 1, and
            otherwise 0 (timm's `--bce-target-thresh`); None leaves targets as they are.

    Raises:
        UsageError: a threshold out of [0, 1), or one for cross-entropy.
    """

    loss: Literal["cross_entropy", "binary_cross_entropy"] = field(default="cross_entropy", metadata=OMITTED_BY_DEFAULT)
    target_threshold: float | None = field(default=None, metadata=OMITTED_BY_DEFAULT)

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
    single_label: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.target_threshold is None:
            return
        if not 0 <= self.target_threshold < 1:
            raise UsageError(f"target_threshold must be in [0, 1), not {self.target_threshold:g}.")
        if self.loss != "binary_cross_entropy":
            raise UsageError("target_threshold is for task.loss=binary_cross_entropy.")

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
