"""The settings of regression."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.models.heads import LinearHead
from resnets.models.spec import Spec
from resnets.tasks.metric import Metric

if TYPE_CHECKING:
    from resnets.modalities.base import Dataset, DatasetSplits


@dataclass(frozen=True, kw_only=True)
@checked
class Regress:
    """A number for each sample.

    The network gives it in standard deviations from the mean, which a new network's outputs are near: the answer is
    `mean + std * output`. The loss is in these units, so that learning rates do not depend on the target's.

    Args:
        loss: "mse" is the squared error; "huber" is half of it below `delta` and grows linearly above (Huber 1964).
        delta: of the Huber loss, in standard deviations.
        mean, std: of the target; None takes those of the training samples.
    """

    loss: Literal["mse", "huber"] = "mse"
    delta: float = 1.0
    mean: float | None = None
    std: float | None = None

    name: ClassVar[str] = "regression"
    reads: ClassVar[str] = "regression"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mae", "min", percent=False),
        Metric("rmse", "min", percent=False),
        Metric("r2", "max", percent=False),
        Metric("loss", "min", percent=False),
    )
    targets: ClassVar[tuple[str, ...]] = ("target",)
    fixed: ClassVar[bool] = True
    single_label: ClassVar[bool] = False
    needs_val: ClassVar[str | None] = None
    canvas_targets: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name, value in (("delta", self.delta), ("std", self.std)):
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{name} must be above 0, not {value:g}.")
        if self.mean is not None and not math.isfinite(self.mean):
            raise UsageError(f"mean must be a finite number, not {self.mean:g}.")

    def model_for(self, spec: Spec, classes: int) -> Spec:
        if not isinstance(spec.head, LinearHead):
            raise UsageError(f"Regression needs a linear head, and this model has {type(spec.head).__name__}.")
        return replace(spec, classes=classes)

    def adapt(self, splits: DatasetSplits) -> DatasetSplits:
        return splits

    def for_other_classes(self) -> Regress:
        return self

    def for_ensemble(self) -> Regress:
        return self

    def for_data(self, dataset: Dataset) -> Regress:
        """The settings with the mean and the standard deviation of the target of `dataset`.

        A target that is the same everywhere has the standard deviation 1 here.
        """
        target = dataset.targets["target"]
        mean = float(target.mean(dtype="float64")) if self.mean is None else self.mean
        std = float(target.std(dtype="float64")) or 1.0 if self.std is None else self.std
        return replace(self, mean=mean, std=std)
