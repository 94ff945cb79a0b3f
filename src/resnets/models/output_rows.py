"""How the outputs of a layer stand for classes: frozen data, by which heads change their classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class OutputRows:
    """The rows of an output layer's weight and bias, and their first values.

    A layer has rows (repeats, background + classes, numbers), in this order.

    Args:
        repeats: how often all classes follow one another, such as for each anchor.
        background: whether a class for the background comes first.
        numbers: rows of each class, such as the 4 numbers of a box.
        std: the standard deviation of first weights; None makes them uniform, as `Initialization` says.
        bias: the first bias.
    """

    repeats: int = 1
    background: bool = False
    numbers: int = 1
    std: float | None = None
    bias: float = 0.0

    def classes_of(self, rows: int) -> int:
        """The classes of a layer with so many rows, the background aside."""
        return rows // (self.repeats * self.numbers) - self.background

    def by_class(self, values: Tensor) -> Tensor:
        """A weight or a bias (rows, ...) seen as (repeats, background + classes, numbers, ...)."""
        return values.view(self.repeats, -1, self.numbers, *values.shape[1:])

    def fits(self, theirs: Tensor, own: Tensor) -> bool:
        """Whether a weight or bias of other classes lies as `own` does, so that rows can be taken from it."""
        return theirs.shape[1:] == own.shape[1:] and len(theirs) % (self.repeats * self.numbers) == 0
