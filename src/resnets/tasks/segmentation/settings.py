"""The settings of semantic segmentation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.models.heads import FCNHead, LinearHead, PixelHead
from resnets.models.spec import Spec
from resnets.tasks.metric import Metric

if TYPE_CHECKING:
    from resnets.modalities.base import Dataset, DatasetSplits

OUTPUT_STRIDE = 8  # Long et al. 2015 as torchvision has it: stages 3 and 4 dilate instead of striding


@dataclass(frozen=True, kw_only=True)
@checked
class Segment:
    """The class of each pixel. (Label smoothing is a setting of the recipe.)

    Args:
        ignore: the value in the masks of pixels that count for nothing, in training and in scores; none where all
            count. What is ignored is no class.
        auxiliary_weight: of the auxiliary head's loss, where the network has one, beside a weight of 1 (Zhao et al.
            2017, 1612.01105, section 3.3; torchvision's reference scripts have 0.5).
    """

    ignore: int | None = 255
    auxiliary_weight: float = 0.5

    name: ClassVar[str] = "segmentation"
    reads: ClassVar[str] = "segmentation"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("miou", "max"),
        Metric("pixel_accuracy", "max"),
        Metric("loss", "min", percent=False),
    )
    targets: ClassVar[tuple[str, ...]] = ("masks",)
    fixed: ClassVar[bool] = False
    single_label: ClassVar[bool] = False
    needs_val: ClassVar[str | None] = None
    canvas_targets: ClassVar[tuple[str, ...]] = ("masks",)

    def __post_init__(self) -> None:
        if self.ignore is not None and not 0 <= self.ignore <= 255:
            raise UsageError(f"ignore takes a value from 0 to 255, or none, not {self.ignore}.")
        if not 0 <= self.auxiliary_weight < math.inf:
            raise UsageError(f"auxiliary_weight must be 0 or more, not {self.auxiliary_weight}.")

    def model_for(self, spec: Spec, classes: int) -> Spec:
        """`spec` as it is where it has a head for pixels; else with an `FCNHead`, and with an output stride of 8 where
        its last stage has a larger stride and it has no output stride of its own.

        Raises:
            UsageError: the network has no images as inputs, or cannot have an output stride of 8.
        """
        if spec.dimensions != 2:
            raise UsageError(f"Segmentation needs a network of images, and this one has {spec.dimensions} dimensions.")
        if isinstance(spec.head, PixelHead):
            return replace(spec, classes=classes)
        if not isinstance(spec.head, LinearHead):
            raise UsageError(f"Segmentation needs a head for pixels, and this model has {type(spec.head).__name__}.")
        last_stride = list(spec.stage_strides.values())[-1]
        stride = OUTPUT_STRIDE if spec.output_stride is None and last_stride > OUTPUT_STRIDE else spec.output_stride
        try:
            return replace(spec, classes=classes, head=FCNHead(), output_stride=stride)
        except UsageError as error:
            raise UsageError(
                f"This network cannot be dilated for segmentation: {error} Set model.output_stride, or choose another "
                "--model, such as resnet18."
            ) from None

    def for_other_classes(self) -> Segment:
        return self

    def for_ensemble(self) -> Segment:
        return self

    def for_data(self, dataset: Dataset) -> Segment:
        from resnets.modalities.base import whole

        if self.ignore != Segment.ignore and not hasattr(whole(dataset, 0)[0], "ignoring"):
            raise UsageError(
                f"task.ignore={self.ignore} is for folders of masks: in this data, pixels that belong to no class are "
                "void."
            )
        return self

    def adapt(self, splits: DatasetSplits) -> DatasetSplits:
        """The data with masks in which `ignore` is no class.

        Raises:
            DataError: fewer than two classes are left.
        """

        def without_ignored(dataset: Dataset) -> Dataset:
            ignoring = getattr(dataset, "ignoring", None)
            adapted: Dataset = ignoring(self.ignore) if ignoring else dataset
            return adapted

        return splits.changed(without_ignored)
