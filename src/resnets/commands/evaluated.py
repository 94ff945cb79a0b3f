"""What `evaluate` has scored, for its answer and its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resnets.artifacts.model import Model
    from resnets.evaluation.predictor import NetworkPredictor
    from resnets.evaluation.scoring import Scores
    from resnets.modalities.base import Dataset
    from resnets.training.events import Event


@dataclass(frozen=True)
class Evaluated:
    """What was scored: the samples, and the model with the settings by which it was.

    Args:
        is_main: whether this process answers, of several ranks.
        predictor: of the network that was scored; None where it was not one network.
        history: the events of the run, where its own data was scored.
        leak: says that samples were trained on, where `history` does not know of it.
    """

    scores: Scores
    dataset: Dataset
    model: Model
    is_main: bool = True
    predictor: NetworkPredictor | None = None
    history: Sequence[Event] = ()
    leak: str | None = None
