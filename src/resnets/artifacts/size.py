"""A model at another size of its inputs than it was trained for."""

from __future__ import annotations

from dataclasses import replace

from resnets.artifacts.model_file import ModelCard
from resnets.core.errors import UsageError
from resnets.core.units import show_size


def with_size(card: ModelCard, size: int | tuple[int, int] | None) -> ModelCard:
    """`card` with its preprocessing at another size; None keeps it.

    Args:
        size: pixels of each side of a square, or height and width; for whole images of any size, of the shorter side.

    Raises:
        UsageError: the model's input has no such size, or it is too small for the network.
    """
    if size is None:
        return card
    if (size if isinstance(size, int) else min(size)) < card.spec.least_size:
        raise UsageError(
            f"A {show_size(size)} px input is too small for this model; the minimum is {card.spec.least_size} px."
        )
    return replace(card, preprocessing=card.preprocessing.with_size(size))


def note_on_size(card: ModelCard) -> str:
    """A line that says at which size a model is used, where that is not its own."""
    return f"The model is used at another size than its own: {card.preprocessing.summary}."
