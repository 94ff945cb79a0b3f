"""How a network's first weights are drawn, as frozen data, read without torch; `models.initialize` draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.models.spec import Spec


@dataclass(frozen=True, kw_only=True)
@checked
class Initialization:
    """Convolutions are normal with variance 2 / fan (He et al. 2015, 1502.01852, equations 10 and 14).

    Args:
        fan: "fan_in" as the ResNet paper cites it, "fan_out" as fb.resnet.torch and torchvision have it.
        zero_init_last: start the last norm's scale of every branch at 0, so that each block begins as its shortcut
            (Goyal et al. 2017, section 5.1). In pre-activation nets, which end in a convolution, that is 0. Not for
            plain nets, which have no shortcut: no signal would pass.
        identity: the first outputs of each convolution start as its inputs (Jordan 2024, 2404.00498, section 3.3).
        classifier_std: the classifier's weights are normal with this deviation; None makes them uniform within
            1 / sqrt(inputs), torch's usual.
        whiten: training images of which the filters of a stem that whitens are made, before the first step.
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
        """That a network of `spec` can learn from such weights.

        Raises:
            UsageError: it cannot.
        """
        if self.zero_init_last and spec.shortcut == "none":
            raise UsageError(
                "zero_init_last starts every block as its shortcut, and a plain net (shortcut none) has none: no "
                "signal would pass, and the classifier's bias alone would learn. Set "
                "initialization.zero_init_last=false."
            )
