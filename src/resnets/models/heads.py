"""The heads that a task puts on a residual network, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.nn.shapes import Pool


@dataclass(frozen=True, kw_only=True)
class LinearHead:
    """A global pool and a linear layer (He et al. 2015, table 1): one vector for each sample."""

    def check(self, classes: int, pool: Pool, stages: int) -> None:
        """Checks that a network with so many classes and stages can have this head.

        Raises:
            UsageError: it cannot.
        """
        if pool == "none" and classes:
            raise UsageError(
                f"A classifier of {classes} classes needs a pool, average or max: pool none is for classes=0."
            )

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of the head's children of the network that have weights."""
        return ("fc",)

    @property
    def output_layers(self) -> tuple[str, ...]:
        """The names of the layers whose outputs are logits."""
        return ("fc",)


@dataclass(frozen=True, kw_only=True)
@checked
class FCNHead:
    """A fully convolutional head (Long et al. 2015, 1411.4038, as torchvision has it): logits for each pixel.

    A 3x3 convolution to a quarter of the channels, norm, ReLU, dropout of 0.1 and a 1x1 convolution on the last stage,
    enlarged to the size of the input.

    Args:
        auxiliary: whether the stage before the last has such a head too, whose loss is added in training.
    """

    DROPOUT: ClassVar[float] = 0.1

    @staticmethod
    def inner(channels: int) -> int:
        """The channels of the 3x3 convolution on a stage of `channels`."""
        return max(1, channels // 4)

    auxiliary: bool = False

    def check(self, classes: int, pool: Pool, stages: int) -> None:
        """Checks that a network with so many classes and stages can have this head.

        Raises:
            UsageError: it cannot.
        """
        if not classes:
            raise UsageError("A network for segmentation needs classes; without a head create its backbone instead.")
        if self.auxiliary and stages < 2:
            raise UsageError("head.auxiliary needs a stage before the last, and this network has one stage.")

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of the head's children of the network that have weights: torchvision's."""
        return ("classifier", "aux_classifier") if self.auxiliary else ("classifier",)

    @property
    def output_layers(self) -> tuple[str, ...]:
        """The names of the layers whose outputs are logits."""
        return tuple(f"{name}.4" for name in self.modules)


Head = LinearHead | FCNHead
