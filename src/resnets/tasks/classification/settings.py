"""The settings of classification."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from resnets.core.config import OMITTED_BY_DEFAULT
from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.models.heads import LinearHead
from resnets.models.spec import Spec
from resnets.tasks.metric import Metric

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
        temperature: by which logits are divided before they become probabilities (Guo et al. 2017, 1706.04599, section
            4.2), above 0. It never changes which class is the most probable. None has it fitted on `val`, and is 1
            without it.
        unknown_below: the answer to a sample is "unknown" where its highest probability is below this one, in [0, 1].
        answered_accuracy: in (0, 1]; has `unknown_below`, where that is None, chosen on `val`: the lowest at which this
            share of the answers that are given is right, and 1 where there is none.

    Raises:
        UsageError: a value is out of its range, or a target threshold is for cross-entropy.
    """

    loss: Loss = field(default="cross_entropy", metadata=OMITTED_BY_DEFAULT)
    target_threshold: float | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    temperature: float | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    unknown_below: float | None = field(default=None, metadata=OMITTED_BY_DEFAULT)
    answered_accuracy: float | None = field(default=None, metadata=OMITTED_BY_DEFAULT)

    name: ClassVar[str] = "classification"
    reads: ClassVar[str] = "classification"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "max"),
        Metric("top5", "max", least_classes=6),
        Metric("loss", "min", percent=False),
        Metric("balanced_accuracy", "max"),
        Metric("macro_f1", "max"),
        Metric("auc", "max", least_classes=2, most_classes=2),
    )
    targets: ClassVar[tuple[str, ...]] = ("labels",)
    fixed: ClassVar[bool] = True
    single_label: ClassVar[bool] = True
    canvas_targets: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.target_threshold is not None:
            if not 0 <= self.target_threshold < 1:
                raise UsageError(f"target_threshold must be in [0, 1), not {self.target_threshold:g}.")
            if self.loss != "binary_cross_entropy":
                raise UsageError("target_threshold is for task.loss=binary_cross_entropy.")
        if self.temperature is not None and self.temperature <= 0:
            raise UsageError(f"temperature must be above 0, not {self.temperature:g}.")
        if self.unknown_below is not None and not 0 <= self.unknown_below <= 1:
            raise UsageError(f"unknown_below is a probability from 0 to 1, not {self.unknown_below:g}.")
        if self.answered_accuracy is not None and not 0 < self.answered_accuracy <= 1:
            raise UsageError(
                f"The accuracy of the answers must be above 0 and at most 1, not {self.answered_accuracy:g}."
            )

    @property
    def needs_val(self) -> str | None:
        wanted = self.answered_accuracy is not None and self.unknown_below is None
        return "The threshold for a wanted accuracy of the answers" if wanted else None

    def model_for(self, spec: Spec, classes: int) -> Spec:
        if not isinstance(spec.head, LinearHead):
            raise UsageError(f"A classifier needs a linear head, and this model has {type(spec.head).__name__}.")
        return replace(spec, classes=classes)

    def adapt(self, splits: DatasetSplits) -> DatasetSplits:
        return splits

    def for_other_classes(self) -> Classify:
        return self._without_fitted()

    def for_ensemble(self) -> Classify:
        return self._without_fitted()

    def _without_fitted(self) -> Classify:
        chosen = self.answered_accuracy is not None
        return replace(self, temperature=None, unknown_below=None if chosen else self.unknown_below)

    def for_data(self, dataset: Dataset) -> Classify:
        return self
