"""The heads that a task puts on a residual network, as frozen data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from resnets.core.errors import UsageError
from resnets.core.typed import checked
from resnets.models.box_heads import BoxHead
from resnets.models.output_rows import OutputRows
from resnets.nn.shapes import Pool


@dataclass(frozen=True, kw_only=True)
@checked
class LinearHead:
    """A global pool and a linear layer (He et al. 2015, table 1): one vector for each sample.

    Args:
        dropout: rate between the two (timm's `drop_rate`).
    """

    dropout: float = 0.0

    def check(self, classes: int, pool: Pool, stages: int) -> None:
        """Checks that a network with so many classes and stages can have this head.

        Raises:
            UsageError: it cannot.
        """
        if not 0 <= self.dropout < 1:
            raise UsageError(f"head.dropout must be in [0, 1), not {self.dropout:g}.")
        if pool == "none" and classes:
            raise UsageError(
                f"A classifier of {classes} classes needs a pool, average or max: pool none is for classes=0."
            )

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of the head's children of the network that have weights."""
        return ("fc",)

    @property
    def output_layers(self) -> dict[str, OutputRows]:
        """The layers with rows for the classes, and how they lie."""
        return {"fc": OutputRows()}


@dataclass(frozen=True, kw_only=True)
@checked
class LocalizationHead:
    """The class of each image, and a box: for each class, or one for all.

    Classes have a global average pool and a linear layer, as in a classifier. For the box, the last map is averaged in
    a grid of cells, on which a hidden layer with ReLU and a linear layer give four numbers (as Sermanet et al. 2014,
    1312.6229, section 4, and Simonyan & Zisserman 2014, 1409.1556, appendix A, whose single class regression has one
    box for all classes and whose per-class regression has one for each; He et al. 2015, appendix C, has the latter).

    Args:
        per_class: whether each class has a box of its own, which needs many images of each.
        grid: cells along each side.
        hidden: units of the hidden layer.
    """

    per_class: bool = False
    grid: int = 4
    hidden: int = 512

    def check(self, classes: int, pool: Pool, stages: int) -> None:
        """Checks that a network with so many classes and stages can have this head.

        Raises:
            UsageError: it cannot.
        """
        if not classes:
            raise UsageError("A network for localization needs classes; without a head create its backbone instead.")
        LinearHead().check(classes, pool, stages)
        if min(self.grid, self.hidden) < 1:
            raise UsageError(
                f"A head for localization needs grid and hidden of 1 or more, not {self.grid} and {self.hidden}."
            )

    def boxes(self, classes: int) -> int:
        """How many boxes it gives for an image."""
        return classes if self.per_class else 1

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of the head's children of the network that have weights."""
        return ("fc", "box_head")

    @property
    def output_layers(self) -> dict[str, OutputRows]:
        """The layers with rows for the classes, and how they lie."""
        boxes = {"box_head.box": OutputRows(numbers=4)} if self.per_class else {}
        return {"fc": OutputRows(), **boxes}


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
    def output_layers(self) -> dict[str, OutputRows]:
        """The layers with rows for the classes, and how they lie."""
        return {f"{name}.4": OutputRows() for name in self.modules}


@dataclass(frozen=True, kw_only=True)
@checked
class DeepLabHead:
    """Atrous spatial pyramid pooling (Chen et al. 2017, 1706.05587, section 3.3): logits for each pixel.

    On the last stage a 1x1 convolution, 3x3 convolutions of three dilations and the mean over the image, of 256
    channels each; then a 1x1 convolution over them together, dropout of 0.5, a 3x3 convolution and one of 1x1, enlarged
    to the size of the input. Keys of the weights and values are those of torchvision's `deeplabv3_resnet50`.

    Args:
        rates: the dilations at an output stride of 16. They are doubled at 8, and halved at 32 (section 3.3).
        auxiliary: whether the stage before the last has an `FCNHead`, whose loss is added in training.
    """

    CHANNELS: ClassVar[int] = 256
    DROPOUT: ClassVar[float] = 0.5

    rates: tuple[int, ...] = (6, 12, 18)
    auxiliary: bool = False

    def rates_at(self, stride: int) -> tuple[int, ...]:
        """The dilations on a feature map of so many pixels of the input per pixel."""
        return tuple(max(1, rate * 16 // stride) for rate in self.rates)

    def check(self, classes: int, pool: Pool, stages: int) -> None:
        """Checks that a network with so many classes and stages can have this head.

        Raises:
            UsageError: it cannot.
        """
        FCNHead(auxiliary=self.auxiliary).check(classes, pool, stages)
        if not self.rates or min(self.rates) < 1:
            raise UsageError(f"head.rates takes dilations of 1 or more, not {list(self.rates)}.")

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of the head's children of the network that have weights: torchvision's."""
        return ("classifier", "aux_classifier") if self.auxiliary else ("classifier",)

    @property
    def output_layers(self) -> dict[str, OutputRows]:
        """The layers with rows for the classes, and how they lie."""
        return {f"{name}.4": OutputRows() for name in self.modules}


@dataclass(frozen=True, kw_only=True)
@checked
class FPNHead:
    """A feature pyramid (Kirillov et al. 2019, 1901.02446, section 3): logits for each pixel.

    The map of each stage gets a 1x1 convolution, and the enlarged map of the stage after it is added (Lin et al. 2017,
    1612.03144). Each of these maps is brought to the size of the first by 3x3 convolutions with group norm and ReLU,
    each followed by an enlargement by 2. Their sum gets dropout of whole channels and a 1x1 convolution, enlarged to
    the size of the input. The 3x3 convolutions at the end of Lin's pyramid are left out, as no other head shares it.

    Args:
        pyramid: channels of the pyramid.
        channels: of the 3x3 convolutions, and of their sum.
        dropout: the rate at which channels are dropped, in [0, 1).
    """

    auxiliary: ClassVar[bool] = False

    pyramid: int = 256
    channels: int = 128
    dropout: float = 0.2

    def check(self, classes: int, pool: Pool, stages: int) -> None:
        """Checks that a network with so many classes and stages can have this head.

        Raises:
            UsageError: it cannot.
        """
        FCNHead().check(classes, pool, stages)
        if min(self.pyramid, self.channels) < 1 or not 0 <= self.dropout < 1:
            raise UsageError(
                f"An FPN head needs pyramid and channels of 1 or more and dropout in [0, 1), not {self.pyramid}, "
                f"{self.channels} and {self.dropout}."
            )

    @staticmethod
    def finer(strides: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """For each map of these strides the numbers of the maps whose sizes its convolutions bring it to, in turn.

        A map as fine as the first has a convolution that keeps its size: its numbers are empty.
        """
        return tuple(
            tuple(number for number in range(level - 1, -1, -1) if strides[number] < strides[number + 1])
            for level in range(len(strides))
        )

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of the head's children of the network that have weights."""
        return ("classifier",)

    @property
    def output_layers(self) -> dict[str, OutputRows]:
        """The layers with rows for the classes, and how they lie."""
        return {"classifier.logits": OutputRows()}


PixelHead = FCNHead | DeepLabHead | FPNHead
Head = LinearHead | LocalizationHead | PixelHead | BoxHead
