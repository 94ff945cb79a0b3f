"""The initialisation of weights as frozen data that does not import torch; `models.initialize` draws the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.models.spec import Spec


@dataclass(frozen=True, kw_only=True)
@checked
class Initialization:
    """How weights are initialised.

    The weights of convolutions are normal with variance 2 / fan (He et al. 2015, 1502.01852, equations 10 and 14).

    Args:
        fan: "fan_in" as in the ResNet paper, or "fan_out" as in fb.resnet.torch and torchvision.
        zero_init_last: initialise the scale of the last norm of every branch (in pre-activation nets, where a branch
            ends in a convolution, its weight) with 0, so that each block starts as its shortcut (Goyal et al. 2017,
            section 5.1). Refused for plain nets, where no signal would pass, and where the weight is standardised,
            which no scale changes.
        identity: initialise the first output channels of each convolution as the identity of its inputs (Jordan 2024,
            2404.00498, section 3.3). Refused for standardised weights, which have the mean 0.
        classifier_std: standard deviation of the classifier's normal weights; None makes them uniform within
            +-1 / sqrt(inputs), torch's default.
        whiten: number of training images from which the filters of a whitened stem are computed.

    Raises:
        UsageError: `whiten` or `classifier_std` is out of range.
    """

    fan: Literal["fan_in", "fan_out"] = "fan_out"
    zero_init_last: bool = False
    identity: bool = False
    classifier_std: float | None = None
    whiten: int = 5000

    def __post_init__(self) -> None:
        if not 0 <= self.whiten <= 10**8 or (self.classifier_std is not None and not self.classifier_std > 0):
            raise UsageError("initialization needs whiten from 0 to 100,000,000 and a classifier_std above 0.")

    def check(self, spec: Spec) -> None:
        """Checks that a network of `spec` can be trained from this initialisation.

        Raises:
            UsageError: it cannot.
        """
        if self.zero_init_last and spec.shortcut == "none":
            raise UsageError(
                "zero_init_last starts every block as its shortcut, and a plain net (shortcut none) has none: no "
                "signal would pass, and the classifier's bias alone would learn. Set "
                "initialization.zero_init_last=false."
            )
        if self.zero_init_last and not can_start_as_shortcuts(spec):
            raise UsageError(
                "zero_init_last sets the last convolution of every branch to 0, and standardised weights have the "
                "variance 1 as soon as they change. Set initialization.zero_init_last=false."
            )
        if self.identity and spec.standardized:
            raise UsageError(
                "identity cannot be had with standardised weights, whose mean is 0. Set initialization.identity=false."
            )


def ends_in_convolution(spec: Spec) -> bool:
    """Whether no norm with a scale that is learnt follows the last convolution of each branch."""
    return spec.preactivation or spec.norm in ("none", "frozen")


def can_start_as_shortcuts(spec: Spec) -> bool:
    """Whether `zero_init_last` fits `spec`."""
    return spec.shortcut != "none" and not (spec.standardized and ends_in_convolution(spec))
