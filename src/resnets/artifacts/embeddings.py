"""The embeddings of inputs that come one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

from resnets.artifacts import runtimes
from resnets.artifacts.answers import answers_to
from resnets.artifacts.model_file import ModelCard
from resnets.artifacts.runtimes.folded import Autocast
from resnets.core.errors import UsageError
from resnets.evaluation.embedding import PooledFeatures
from resnets.evaluation.predictor import NetworkPredictor
from resnets.modalities.given import Given


def embeddings(
    inputs: Iterable[Given], predictor: NetworkPredictor, card: ModelCard, batch: int | None, workers: int | None
) -> Iterator[tuple[str, Any]]:
    """The name of each of `inputs` and its embedding (features,), or the DataError of one that cannot be read, in turn.

    Args:
        predictor: of the model; it gives embeddings from now on.
        batch, workers: as of `answers_to`.

    Raises:
        UsageError: the layers of the network cannot be reached.
    """
    check_layers(predictor.network, "embed")
    predictor.task = PooledFeatures(card.settings)
    return answers_to(inputs, predictor, card, 1, batch, workers)


def check_layers(network: nn.Module, what: str) -> None:
    """Raises UsageError where a network is a runtime's module, whose layers `what` cannot reach."""
    if isinstance(network, (*runtimes.ON_CPU, Autocast)):
        raise UsageError(f"{what} needs the layers of the network: load the model with runtime torch in fp32.")
