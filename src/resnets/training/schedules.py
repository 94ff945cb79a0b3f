"""Learning-rate schedules: the learning rate over a run, as a factor of the recipe's.

All but `Plateau` are pure functions of the share of the run that is done, so a shorter run keeps the shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from resnets.core.errors import UsageError
from resnets.core.typed import checked


def _not_below_zero(**values: float) -> None:
    for name, value in values.items():
        if value < 0:
            raise UsageError(f"{name} must be 0 or more, not {value:g}: the learning rate would be negative.")


@dataclass(frozen=True, kw_only=True)
@checked
class Constant:
    """No change."""


@dataclass(frozen=True, kw_only=True)
@checked
class Step:
    """Multiplied by `factor` at each of `milestones`, shares of the run; the paper's CIFAR runs drop at 1/2 and 3/4."""

    milestones: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1

    def __post_init__(self) -> None:
        _not_below_zero(factor=self.factor)
        if list(self.milestones) != sorted(self.milestones) or not all(0 < m < 1 for m in self.milestones):
            raise UsageError(f"milestones must rise between 0 and 1 (shares of the run), not {self.milestones}.")


@dataclass(frozen=True, kw_only=True)
@checked
class Plateau:
    """Multiplied by `factor` when the evaluated loss has not fallen for `patience` evaluations in a row.

    This is the paper's ImageNet rule ("divided by 10 when the error plateaus"). If the run is evaluated on the test
    set, the schedule depends on it, so the figures are slightly too good; prefer another schedule to report them.

    Args:
        threshold: relative fall of the loss below which it counts as not fallen.
    """

    factor: float = 0.1
    patience: int = 5
    threshold: float = 1e-3

    def __post_init__(self) -> None:
        _not_below_zero(factor=self.factor, threshold=self.threshold)
        if self.patience < 1:
            raise UsageError(f"patience must be 1 or more evaluations, not {self.patience}.")


@dataclass(frozen=True, kw_only=True)
@checked
class Cosine:
    """Half a cosine from 1 to `final` (Loshchilov and Hutter 2017, 1608.03983, eq. 5, without restarts)."""

    final: float = 0.0

    def __post_init__(self) -> None:
        _not_below_zero(final=self.final)


@dataclass(frozen=True, kw_only=True)
@checked
class OneCycle:
    """From `start` up to 1 at `peak`, then down to `final`, in straight lines (Smith and Topin 2018, 1708.07120).

    Args:
        peak: the share of the run at which 1 is reached; 0 starts there.
    """

    peak: float = 0.25
    start: float = 0.1
    final: float = 0.0

    def __post_init__(self) -> None:
        _not_below_zero(start=self.start, final=self.final)
        if not 0 <= self.peak < 1:
            raise UsageError(f"peak must be in [0, 1), a share of the run, not {self.peak}.")


@dataclass(frozen=True, kw_only=True)
@checked
class Polynomial:
    """From 1 down to 0 as a power of what is left of the run: `(1 - done) ** power` (Liu et al. 2015, 1506.04579, as
    torchvision's reference scripts of segmentation have it)."""

    power: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.power < math.inf:
            raise UsageError(f"power must be above 0, not {self.power:g}.")


@dataclass(frozen=True, kw_only=True)
@checked
class Warmup:
    """A lower learning rate in the first epochs.

    Args:
        epochs: how many.
        factor: of the learning rate at the start.
        shape: "linear" up to the full rate (Goyal et al. 2017, section 2.2), or "constant" at `factor` until then
            (He et al. 2015, section 4.2, for 110 layers).
    """

    epochs: float = 5.0
    factor: float = 0.0
    shape: Literal["linear", "constant"] = "linear"

    def __post_init__(self) -> None:
        if self.epochs < 0 or not 0 <= self.factor <= 1:
            raise UsageError("warmup needs epochs of 0 or more and a factor in [0, 1].")


Schedule = Constant | Step | Plateau | Cosine | OneCycle | Polynomial


def factor(schedule: Schedule, done: float) -> float:
    """Returns the factor at the share `done` of the run, from 0 to 1; 1 for `Plateau`, whose factor is in its state."""
    match schedule:
        case Step():
            return schedule.factor ** sum(done >= m for m in schedule.milestones)
        case Cosine():
            return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * done)) / 2
        case OneCycle():
            if done < schedule.peak:
                return schedule.start + (1 - schedule.start) * done / schedule.peak
            return 1 + (schedule.final - 1) * (done - schedule.peak) / (1 - schedule.peak)
        case Polynomial():
            return math.pow(max(0.0, 1 - done), schedule.power)
        case Constant() | Plateau():
            return 1.0


def warmup_factor(warmup: Warmup | None, step: int, warmup_steps: int) -> float:
    """Returns the factor of the warm-up at `step` (from 0), in a run that warms up for `warmup_steps`."""
    if warmup is None or step >= warmup_steps:
        return 1.0
    if warmup.shape == "constant":
        return warmup.factor
    return warmup.factor + (1 - warmup.factor) * (step + 1) / warmup_steps


@dataclass
class PlateauState:
    """What `Plateau` keeps from one evaluation to the next.

    Args:
        best: the lowest loss so far.
        bad: evaluations in a row without a fall.
        factor: the present one.
    """

    best: float | None = None
    bad: int = 0
    factor: float = 1.0

    def update(self, schedule: Plateau, loss: float) -> None:
        """Updates the factor with the loss of one evaluation; one that is not finite counts as not fallen."""
        if math.isfinite(loss) and (self.best is None or loss < self.best * (1 - schedule.threshold)):
            self.best, self.bad = loss, 0
            return
        self.bad += 1
        if self.bad >= schedule.patience:
            self.factor, self.bad = self.factor * schedule.factor, 0
