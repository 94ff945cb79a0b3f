"""The test-time augmentation of a model."""

from __future__ import annotations

from resnets.artifacts.model_file import ModelCard
from resnets.core.errors import UsageError, nearest
from resnets.core.renamed import stored


def tta_of(card: ModelCard) -> str:
    """The test-time augmentation of the recipe that trained a model; none if there is no recipe."""
    known = card.preprocessing.tta
    recipe_tta = stored("Recipe", card.recipe, "tta")
    return next((tta for tta in known if tta == recipe_tta), known[0])


def checked_tta(card: ModelCard, tta: str) -> str:
    """Returns `tta` if the model of `card` has it.

    Raises:
        UsageError: its input has no such test-time augmentation.
    """
    known = card.preprocessing.tta
    if tta not in known:
        near = nearest(tta, known)
        advice = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(known)}."
        noun = card.preprocessing.noun
        raise UsageError(f"There is no test-time augmentation {tta!r} of {noun}s: {advice}")
    return tta
