"""What the rules of recipes (`recipes.rules`) know of the data and the time, and the reasons that they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from resnets.core.typed import checked

Topic = Literal["recipe", "model", "weights", "size", "batch", "rate", "average", "length", "loss"]


@dataclass(frozen=True, kw_only=True)
@checked
class DataFacts:
    """What the rules know of the data.

    Args:
        samples: to train on.
        height, width: medians over a sample of the images, in pixels.
        task: by its name in model files.
        grey: whether all images of that sample are grey.
        turned: whether a tenth or more of them are upright, and as many not.
        names: of the classes.
    """

    samples: int
    classes: int
    height: int
    width: int
    task: str = "classification"
    grey: bool = False
    turned: bool = False
    names: tuple[str, ...] = ()

    @property
    def side(self) -> int:
        """The shorter median side."""
        return min(self.height, self.width)


@dataclass(frozen=True, kw_only=True)
@checked
class TimeFacts:
    """What the rules know of the time.

    Args:
        minutes: the budget.
        speed: multiply-adds of forward passes that training does a second here, an estimate.
    """

    minutes: float
    speed: float


class Reason(NamedTuple):
    """Why the settings of a topic are what they are, such as ("batch", "of 1,088 images")."""

    topic: Topic
    why: str
