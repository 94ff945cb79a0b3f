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
class GeneralizedCrossEntropy:
    """A loss for labels of which some are wrong: (1 - p^q) / q, where p is the probability of the label (Zhang and
    Sabuncu 2018, 1805.07836, equation 6).

    Args:
        q: in (0, 1]. Towards 0 it becomes cross-entropy, at 1 it is 1 - p, which wrong labels disturb least and which
            learns slowest.

    Raises:
        UsageError: q is out of its range.
    """

    q: float = 0.7

    def __post_init__(self) -> None:
        if not 0 < self.q <= 1:
            raise UsageError(f"q must be in (0, 1], not {self.q:g}.")


@dataclass(frozen=True, kw_only=True)
@checked
class SymmetricCrossEntropy:
    """A loss for labels of which some are wrong: alpha times cross-entropy, which learns, plus beta times the reverse
    one with labels and probabilities in each other's place, which wrong labels disturb less (Wang et al. 2019,
    1908.06112, equation 7). For a label of probability p the reverse one is -log_of_zero (1 - p).

    Args:
        alpha: of cross-entropy.
        beta: of the reverse one.
        log_of_zero: the logarithm of a probability of 0, below 0: the A of the paper.

    Raises:
        UsageError: alpha or beta is negative, both are 0, or log_of_zero is not negative.
    """

    alpha: float = 0.1
    beta: float = 1.0
    log_of_zero: float = -4.0

    def __post_init__(self) -> None:
        if min(self.alpha, self.beta) < 0 or max(self.alpha, self.beta) == 0:
            raise UsageError(f"alpha and beta must be 0 or more, and not both 0: not {self.alpha:g} and {self.beta:g}.")
        if self.log_of_zero >= 0:
            raise UsageError(f"log_of_zero must be below 0, not {self.log_of_zero:g}.")


Loss = Literal["cross_entropy", "binary_cross_entropy"] | GeneralizedCrossEntropy | SymmetricCrossEntropy


@dataclass(frozen=True, kw_only=True)
@checked
class Classify:
    """One of several classes for each sample. (Label smoothing is a setting of the recipe.)

    Args:
        loss: of training: cross-entropy, or binary cross-entropy of each class for itself, the mean over the classes
            (Wightman et al. 2021, 2110.00476, section 2), or one for labels of which some are wrong. Evaluation has
            cross-entropy in each case.
        target_threshold: for binary cross-entropy, the value above which a target, smoothed and mixed, becomes 1, and
            otherwise 0 (timm's `--bce-target-thresh`); None leaves targets as they are.

    Raises:
        UsageError: a threshold out of [0, 1), or one for cross-entropy.
    """

    loss: Loss = field(default="cross_entropy", metadata=OMITTED_BY_DEFAULT)
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
