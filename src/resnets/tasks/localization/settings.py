"""The settings of localization."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from resnets.core.errors import DataError, UsageError
from resnets.core.typed import checked
from resnets.models.heads import LinearHead, LocalizationHead
from resnets.models.spec import Spec
from resnets.tasks.metric import Metric

if TYPE_CHECKING:
    from resnets.modalities.base import Dataset, DatasetSplits


@dataclass(frozen=True, kw_only=True)
@checked
class Localize:
    """The class of each image, and the box of an object of it (Russakovsky et al. 2015, 1409.0575, section 3.2). It
    takes data with boxes, of one class in each image. (Label smoothing is a setting of the recipe.)

    Args:
        box_weight: of the loss of the box, beside a weight of 1 of that of the class.
    """

    box_weight: float = 2.0

    name: ClassVar[str] = "localization"
    reads: ClassVar[str] = "detection"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("top5_localization_error", "min"),
        Metric("top1_localization_error", "min"),
        Metric("given_class_localization_error", "min"),
        Metric("top1_error", "min"),
        Metric("top5_error", "min"),
        Metric("loss", "min", percent=False),
    )
    targets: ClassVar[tuple[str, ...]] = ("boxes", "labels")
    fixed: ClassVar[bool] = False
    single_label: ClassVar[bool] = False
    needs_val: ClassVar[str | None] = None
    canvas_targets: ClassVar[tuple[str, ...]] = ("boxes", "instances")

    def __post_init__(self) -> None:
        if not 0 <= self.box_weight < math.inf:
            raise UsageError(f"box_weight must be 0 or more, not {self.box_weight}.")

    def model_for(self, spec: Spec, classes: int) -> Spec:
        """`spec` as it is where it has a `LocalizationHead`; else with one.

        Raises:
            UsageError: the network has no images as inputs, or another head.
        """
        if spec.dimensions != 2:
            raise UsageError(f"Localization needs a network of images, and this one has {spec.dimensions} dimensions.")
        if isinstance(spec.head, LinearHead):
            return replace(spec, classes=classes, head=LocalizationHead())
        if not isinstance(spec.head, LocalizationHead):
            raise UsageError(
                f"Localization needs a head for a class and a box, and this model has {type(spec.head).__name__}."
            )
        return replace(spec, classes=classes)

    def adapt(self, splits: DatasetSplits) -> DatasetSplits:
        """The data with one class for each image.

        Raises:
            DataError: an image has no box, or boxes of several classes.
        """
        return splits.changed(_of_one_class)

    def for_other_classes(self) -> Localize:
        return self

    def for_ensemble(self) -> Localize:
        return self

    def for_data(self, dataset: Dataset) -> Localize:
        return self


def _of_one_class(dataset: Dataset) -> Dataset:
    of_one_class = getattr(dataset, "of_one_class", None)
    if of_one_class is None:
        raise DataError(f"Localization needs data with boxes, and this is for {dataset.task}.")
    adapted: Dataset = of_one_class()
    return adapted
