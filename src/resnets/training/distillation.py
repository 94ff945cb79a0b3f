"""Settings of knowledge distillation (Hinton et al. 2015, 1503.02531); `training.teacher` has the loss."""

from __future__ import annotations

from dataclasses import dataclass

from resnets.core.errors import UsageError
from resnets.core.typed import checked


@dataclass(frozen=True, kw_only=True)
@checked
class Distillation:
    """A model from which the network learns beside the labels.

    Args:
        model: a model file or the folder of a run, of the same classes.
        weight: of the teacher's part in the loss, from 0 (the labels alone) to 1 (the teacher alone).
        temperature: by which both networks' logits are divided, above 0; higher ones say more of the wrong classes.

    Raises:
        UsageError: a value is out of range.
    """

    model: str
    weight: float = 0.5
    temperature: float = 4.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise UsageError(f"teacher.weight must be from 0 to 1, not {self.weight:g}.")
        if not 0 < self.temperature <= 1000:
            raise UsageError(f"teacher.temperature must be above 0 and at most 1000, not {self.temperature:g}.")
